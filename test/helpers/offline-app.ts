import { existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import Fastify from 'fastify'
import { completeDelivery, type DeliveryOptions } from '../../src/delivery/delivery-options.ts'
import type { HandlerContext } from '../../src/delivery/run-handler.ts'
import { LifecycleHookRegistry } from '../../src/delivery/lifecycle-hooks.ts'
import { openDelivery } from '../../src/delivery/open-delivery.ts'
import { openOffline, type OfflineParts } from '../../src/delivery/fetched-events.ts'
import { PairCheck } from '../../src/delivery/lifecycle/pair-check.ts'
import { HandlerRegistry } from '../../src/events/handlers.ts'
import { WebhookTokens } from '../../src/installs/application-token.ts'
import { UnverifiedLimiter } from '../../src/delivery/unverified-limiter.ts'
import { AppCredentials } from '../../src/oauth/app-credentials.ts'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import { LocalLimits } from '../../src/storage/sqlite/call-rate-limits.ts'
import { type SubscriptionServices, openSubscriptions } from '../../src/portal/subscriptions/open-subscriptions.ts'
import { createPageUserFetcher } from '../../src/portal/rest/page-user.ts'
import { Portals } from '../../src/portal/portal.ts'
import { PortalRest } from '../../src/portal/rest/rest.ts'
import { RestTransport } from '../../src/portal/rest/rest-transport.ts'
import { Tokens } from '../../src/portal/tokens/tokens.ts'
import { LazyAbortController } from '../../src/async/abort.ts'
import { EventQueue } from '../../src/storage/event-queue.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { appId } from '../../src/storage/redis/keys.ts'
import { eventRoutes } from '../../src/routes/events.ts'
import { keepAnswers, keepLog } from './kept-logs.ts'
import { storageSettings } from './test-storage.ts'
import type { TokenSettings } from './token-world.ts'

// An app whose events wait at the portals, put together from its parts. It runs in a test, and as a program that is to be killed.

export interface OfflineAppSettings extends TokenSettings {
  /** File that the handler writes a line to for each event: portal and item. */
  journal: string
  port: number
  offline?: OfflineParts['times']
  delivery?: DeliveryOptions
}

export interface OfflineApp extends Pick<SubscriptionServices, 'syncFleet'> {
  /** As a process that ends in good order. */
  close (): Promise<void>
}

export async function openOfflineApp (settings: OfflineAppSettings): Promise<OfflineApp> {
  const { storage, clientId, clientSecret, oauthServer, journal, port, offline: times } = settings
  const delivery = completeDelivery({ stalledAfterMs: 3_000, ...settings.delivery })
  const kept = await openStorage({ dataDir: '', ...storage }, storageSettings(appId(clientId), { events: delivery }))
  const place = { store: kept.installs, locks: kept.locks }
  const app = Fastify({ forceCloseConnections: true, logger: { level: 'warn', stream: { write: keepLog } } })
  const { log } = app
  keepAnswers(app)
  const queue = new EventQueue(kept.events, { ...delivery, onError: error => log.warn({ err: error }, 'event storage unavailable, retrying') })
  const handlers = new HandlerRegistry<HandlerContext>({ warn: () => {} })
  const encryptor = createEncryptor([], clientSecret, clientId)
  const oauth = { clientId, clientSecret, allowedServers: [oauthServer] }
  const listener = { reauthRequired: () => {}, renamed: () => {}, suspended: () => {} }
  const tokens = new Tokens({ ...place, encryptor, oauth, listener, log })
  const transport = new RestTransport({ allowPrivateNetworks: true })
  const rest = new PortalRest({ tokens, limits: new LocalLimits(), transport })
  const options = { offline: ['onCrmDealUpdate'] }
  const subscriptions = openSubscriptions({ rest, store: place.store, handlers, publicUrl: `http://127.0.0.1:${port}`, prefix: '/bitrix24', options, log })
  const offline = openOffline({ rest, locks: place.locks, store: place.store, queue, encryptor, handlers, coalesce: true, options, log, times })
  const limiter = new UnverifiedLimiter()
  const opened = openDelivery({
    limiter,
    settings: delivery,
    store: place.store,
    pendingInstalls: kept.pendingInstalls,
    queue,
    handlers,
    lifecycleHooks: new LifecycleHookRegistry(),
    encryptor,
    webhooks: new WebhookTokens([]),
    portals: new Portals({ rest, subscriptions: subscriptions.subscriptions, offline: offline.queue }),
    pairs: new PairCheck({
      limiter,
      encryptor,
      oauth: { ...oauth, keys: new AppCredentials({ clientId, clientSecret, log }) },
      fetchPageUser: createPageUserFetcher({ transport }),
      allowPrivateNetworks: true
    }),
    log,
    closing: new LazyAbortController()
  })
  const file = openSync(journal, 'a')
  handlers.on('onCrmDealUpdate', ({ data }, { portal }) => { writeSync(file, `${portal.memberId} ${data.FIELDS.ID}\n`) })
  await app.register(eventRoutes, { prefix: '/bitrix24', receiver: opened.receiver, bodyLimit: 262_144, closeTimeoutMs: 0 })
  await app.listen({ port, host: '127.0.0.1' })
  if (delivery.worker) opened.start()
  offline.start()
  return {
    syncFleet: subscriptions.syncFleet,
    close: async () => {
      await app.close()
      await offline.close()
      await queue.stopWorking(5_000)
      await queue.close(0)
      await transport.close()
      await tokens.close()
      await kept.close()
    }
  }
}

/** What the handlers of all processes wrote, a line each. */
export function readLines (journal: string): string[] {
  return existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').slice(0, -1) : []
}
