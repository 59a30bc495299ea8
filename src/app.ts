import type { FastifyBaseLogger } from 'fastify'
import { Bitrix24 } from './bitrix24.ts'
import type { DeliverySettings } from './delivery/delivery-options.ts'
import { createPortalListener, HOOK_NAMES, LifecycleHookRegistry } from './delivery/lifecycle-hooks.ts'
import type { HandlerContext } from './delivery/run-handler.ts'
import { PairCheck } from './delivery/lifecycle/pair-check.ts'
import { openChatEvents, openOffline } from './delivery/fetched-events.ts'
import { openDelivery } from './delivery/open-delivery.ts'
import { UnverifiedLimiter } from './delivery/unverified-limiter.ts'
import type { Receiver } from './delivery/receive.ts'
import { FST_B24_CLOSING } from './errors.ts'
import { HandlerRegistry } from './events/handlers.ts'
import { WebhookTokens } from './installs/application-token.ts'
import { createEncryptor } from './oauth/encryption.ts'
import type { Settings } from './options.ts'
import { createPortalClient } from './portal/create-portal-client.ts'
import { Portals } from './portal/portal.ts'
import { StartSync } from './portal/subscriptions/start-sync.ts'
import type { InstallPageParts } from './routes/install-page/route.ts'
import { EventQueue } from './storage/event-queue.ts'
import { openStorage } from './storage/open-storage.ts'
import { appId } from './storage/redis/keys.ts'
import { storageOf } from './storage/redis/connect.ts'
import { OutageLog } from './storage/redis/outage-log.ts'
import type { Storage } from './storage/storage.ts'
import { LazyAbortController } from './async/abort.ts'
import { settlesWithin } from './async/with-timeout.ts'
import { isSilent, processWarnings } from './process-warnings.ts'

/** A warning, not an error: another process on this machine may handle them. */
const NO_WORKER = 'delivery.worker is false and no Redis is configured: events in dataDir are only stored; run a worker on this machine'

/** The app without HTTP. */
export interface App {
  /** The decorator `fastify.bitrix24`. */
  bitrix24: Bitrix24
  receiver: Receiver
  /** Parts of the install page; `undefined` if it is disabled. */
  page: InstallPageParts | undefined
  /** Starts handling events. Call it once all handlers are registered. */
  start (): void
  /** Starts no further work, and waits up to `ms` for running handlers. Requests in progress are still accepted. */
  stop (ms: number): Promise<void>
  /** Closes the storage and connections opened by `openApp`. */
  close (): Promise<void>
}

/**
 * Opens the storage of an app, and creates the services between its routes and handlers.
 *
 * @param path prefix of the routes, including those of all scopes
 * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_STORAGE_LAYOUT
 */
export async function openApp (settings: Settings, path: string, log: FastifyBaseLogger): Promise<App> {
  const storage = await openAppStorage(settings, log)
  try {
    return wire(settings, path, log, storage)
  } catch (error) {
    await storage.close()
    throw error
  }
}

async function openAppStorage (settings: Settings, log: FastifyBaseLogger): Promise<Storage> {
  const { clientId, store: installStore, redis, dataDir, delivery } = settings
  const outages = new OutageLog(log)
  return await openStorage({ installStore, redis, dataDir }, {
    app: appId(clientId),
    events: delivery,
    waitReplicas: delivery.waitReplicas,
    onError: outages.failed,
    onReady: outages.ready,
    onWarning: problem => log.warn(problem)
  })
}

function wire (settings: Settings, path: string, log: FastifyBaseLogger, storage: Storage): App {
  const { delivery: deliverySettings, installPage } = settings
  const { installs: store, locks } = storage
  const queue = deliverySettings.mode === 'inline' ? undefined : newQueue(storage, deliverySettings, log)
  const silent = isSilent(log)
  const handlers = new HandlerRegistry<HandlerContext>({
    hookNames: HOOK_NAMES,
    warn: (message, details) => {
      log.warn(details, message)
      if (silent) processWarnings.event(message)
    }
  })
  const lifecycleHooks = new LifecycleHookRegistry()
  if (silent) lifecycleHooks.add('onHandlerError', ({ error, event, hook }) => processWarnings.handler(`${event?.name ?? hook}: ${error.message}`))
  const encryptor = createEncryptor(settings.encryptionKeys, settings.clientSecret, settings.clientId)
  const limiter = new UnverifiedLimiter()
  const closing = new LazyAbortController()
  const closed = new AbortController()
  const portalServices = createPortalClient({ ...settings, prefix: path }, {
    app: appId(settings.clientId), store, locks, buckets: storage.limits, encryptor, handlers, listener: createPortalListener({ store, lifecycleHooks, portals: () => portals, log }), log, signal: closing.signal
  })
  const { subscribe, subscriptions, syncFleet } = portalServices.subscriptionServices
  const common = { ...portalServices, locks, store, queue, encryptor, handlers, log }
  const offline = openOffline({ ...common, coalesce: deliverySettings.coalesce, options: settings.subscriptions })
  const chatEvents = openChatEvents({ ...common, fetchEveryMs: settings.subscriptions.fetchEveryMs })
  const startSync = new StartSync({ store, locks, log, isInSync: portalServices.subscriptionServices.isInSync, subscribe, facts: () => startFacts(settings, path, handlers.codes) })
  const portals = new Portals({ rest: portalServices.rest, updatePlan: portalServices.updatePlan, subscriptions, offline: offline.queue })
  const delivery = openDelivery({
    settings: deliverySettings,
    store,
    pendingInstalls: storage.pendingInstalls,
    queue,
    handlers,
    lifecycleHooks,
    portals,
    encryptor,
    webhooks: new WebhookTokens(settings.webhooks),
    pairs: new PairCheck({
      limiter,
      encryptor,
      oauth: {
        allowedServers: settings.oauthServers,
        clientId: settings.clientId,
        clientSecret: settings.clientSecret,
        signal: closing.signal,
        refreshSignal: closed.signal,
        dispatcher: settings.dispatcher,
        keys: portalServices.keys
      },
      fetchPageUser: portalServices.fetchPageUser,
      allowPrivateNetworks: settings.allowPrivateNetworks
    }),
    limiter,
    page: installPage !== false,
    log,
    closing
  })
  const afterInstall = subscribe && (async (memberId: string, signal: AbortSignal) => await subscriptions.sync(memberId, { signal }))
  return {
    receiver: delivery.receiver,
    page: delivery.pages && { pages: delivery.pages, options: installPage || {}, afterInstall },
    bitrix24: new Bitrix24({
      handlers,
      lifecycle: lifecycleHooks,
      store,
      portals,
      syncFleet,
      deadLetters: delivery.deadLetters,
      queueCounts: delivery.queueCounts,
      oldestWaitingAt: delivery.oldestWaitingAt,
      count: () => ({ ...delivery.report(), blocked: portalServices.blocks.list(), appKeys: portalServices.keys.state })
    }),
    start: () => {
      if (subscribe !== undefined) for (const hook of ['onInstall', 'onUpdate'] as const) lifecycleHooks.add(hook, subscribe, 'plugin subscribe')
      chatEvents.check()
      delivery.start()
      startSync.start()
      if (!deliverySettings.worker) {
        if (settings.redis === undefined) log.warn({ dataDir: settings.dataDir }, NO_WORKER)
        return
      }
      portalServices.start()
      offline.start()
      chatEvents.start()
    },
    stop: async ms => {
      closing.abort(new FST_B24_CLOSING())
      setTimeout(() => closed.abort(new FST_B24_CLOSING()), deliverySettings.closeTimeoutMs).unref()
      const ends = [offline.close(), chatEvents.close(), startSync.close(), queue?.stopWorking(deliverySettings.closeTimeoutMs)]
      await settlesWithin(Promise.allSettled(ends), ms)
    },
    close: async () => {
      try {
        await portalServices.close()
        await queue?.close(0)
      } finally {
        await storage.close()
      }
    }
  }
}

function newQueue (storage: Storage, settings: DeliverySettings, log: FastifyBaseLogger): EventQueue {
  return new EventQueue(storage.events, { ...settings, onError: error => log.warn({ err: error }, 'event storage unavailable, retrying') })
}

function startFacts (settings: Settings, path: string, codes: readonly string[]) {
  const storage = storageOf(settings)
  return {
    routes: { events: `${path}/events`, install: `${path}/install` },
    storage: settings.store === undefined ? storage : `own store, ${storage}`,
    codes,
    isWorker: settings.delivery.worker,
    syncsNow: settings.subscriptions.sync === 'start'
  }
}
