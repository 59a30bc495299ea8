import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Bitrix24 } from './bitrix24.ts'
import type { HandlerContext } from './delivery/handler-context.ts'
import { LifecycleHookList } from './delivery/lifecycle-hooks.ts'
import { PairCheck } from './delivery/pair-check.ts'
import { openDelivery } from './delivery/open-delivery.ts'
import { LONGEST_TIMEOUT_MS } from './delivery/delivery-options.ts'
import { openEventStorage } from './delivery/event-storage.ts'
import { openOffline } from './delivery/open-offline.ts'
import { portalNews } from './delivery/portal-news.ts'
import { FST_B24_CLOSING, FST_B24_INVALID_OPTIONS } from './errors.ts'
import { EventHooks } from './events/hooks.ts'
import { openInstallStore } from './installs/open-store.ts'
import { WebhookTokens } from './installs/webhook-tokens.ts'
import { createCheckQueue } from './oauth/check-queue.ts'
import { createSealer } from './oauth/seal.ts'
import { readOptions, type FastifyBitrix24Options } from './options.ts'
import { createAskOpener } from './portal/opener.ts'
import { openActing } from './portal/open-acting.ts'
import { Portals, type Portal } from './portal/portal.ts'
import { Abort } from './queue/abort.ts'
import { settlesWithin } from './queue/settles-within.ts'
import { eventRoutes } from './routes/events.ts'

/** Part of Fastify's `pluginTimeout` that is left to it, ms. */
const HOOK_RESERVE_MS = 500

/** Where handlers run before the answer. */
const NO_QUEUE = { add: async () => { throw new FST_B24_INVALID_OPTIONS("events of a portal's own queue need delivery.mode 'queue'") } }

const kPortal = Symbol('fastify-bitrix24.portal')

/** Apps by `namespace`; extend it to have `app.bitrix24.<namespace>` typed. */
export interface Bitrix24Namespaces {}

declare module 'fastify' {
  interface FastifyInstance {
    bitrix24: Bitrix24 & Bitrix24Namespaces
  }
  interface FastifyRequest {
    /** The portal that an accepted event came from; `null` on every other request. */
    portal: Portal | null
  }
}

async function fastifyBitrix24 (fastify: FastifyInstance, options: FastifyBitrix24Options): Promise<void> {
  const settings = readOptions(options)
  claimNamespace(fastify, settings.namespace)
  const log = fastify.log.child({ plugin: 'fastify-bitrix24' })
  const { store, client, close } = await openInstallStore(settings, error => log.warn({ err: error }, 'redis is away'))
  fastify.addHook('onClose', close)
  const storage = settings.delivery.mode === 'inline' ? undefined : await openEventStorage(settings, client, log)
  // Runs before the store is closed: the last hook added is the first run.
  fastify.addHook('onClose', async () => await storage?.close())

  const hooks = new EventHooks<HandlerContext>({ warn: (message, details) => log.warn(details, message) })
  const lifecycleHooks = new LifecycleHookList()
  const sealer = createSealer(settings.encryptionKeys, settings.clientSecret, settings.clientId)
  const checks = createCheckQueue()
  const closing = new Abort()
  const closed = new AbortController()
  const acting = await openActing({ ...settings, prefix: fastify.prefix + settings.prefix }, {
    store, sealer, hooks, told: portalNews({ store, lifecycleHooks, portals: () => portals, log }), log, signal: closing.signal
  }, client)
  fastify.addHook('onClose', async () => await acting.close())
  const { coalesce } = settings.delivery
  const offline = openOffline({ ...acting, store, queue: storage?.queue ?? NO_QUEUE, sealer, hooks, coalesce, options: settings.subscriptions, log })
  const portals = new Portals({ rest: acting.rest, subscriptions: acting.subscribing.subscriptions, offline: offline.queue })
  fastify.addHook('preClose', async () => {
    closing.abort(new FST_B24_CLOSING())
    setTimeout(() => closed.abort(new FST_B24_CLOSING()), settings.delivery.closeTimeoutMs).unref()
    await offline.close()
    // Before any plugin is closed that the handlers use. Posts that are under way are still taken in.
    const stopped = storage?.queue.stopWorking(settings.delivery.closeTimeoutMs)
    if (stopped !== undefined) await settlesWithin(stopped, longestHook(fastify))
  })
  const delivery = openDelivery({
    settings: settings.delivery,
    store,
    storage,
    hooks,
    lifecycleHooks,
    portals,
    sealer,
    webhooks: new WebhookTokens(settings.webhooks),
    pairs: new PairCheck({
      queue: checks,
      sealer,
      oauth: {
        allowedServers: settings.oauthServers,
        clientId: settings.clientId,
        clientSecret: settings.clientSecret,
        signal: closing.signal,
        refreshSignal: closed.signal
      },
      allowPrivateNetworks: settings.allowPrivateNetworks
    }),
    page: settings.installPage === false ? undefined : { checks, askOpener: createAskOpener(settings) },
    log,
    closing
  })
  // Not before every handler is there: an event that none listens to counts as handled.
  fastify.addHook('onReady', async () => {
    if (settings.publicUrl !== undefined) for (const hook of ['onInstall', 'onUpdate'] as const) lifecycleHooks.add(hook, acting.subscribing.subscribe)
    delivery.start()
    if (!settings.delivery.worker) return
    acting.start()
    offline.start()
  })

  decorate(fastify, settings.namespace, new Bitrix24({
    hooks,
    lifecycle: lifecycleHooks,
    store,
    portals,
    syncFleet: acting.subscribing.syncFleet,
    deadLetters: delivery.deadLetters,
    queueCounts: delivery.queueCounts,
    count: () => ({ events: { ...delivery.counts }, misfits: delivery.misfits() })
  }))
  const afterInstall = settings.publicUrl === undefined
    ? undefined
    : async (memberId: string, signal: AbortSignal) => await acting.subscribing.subscriptions.sync(memberId, { signal })
  await fastify.register(eventRoutes, {
    prefix: settings.prefix,
    receiver: delivery.receiver,
    bodyLimit: settings.bodyLimit,
    page: delivery.pages === undefined ? undefined : { pages: delivery.pages, options: settings.installPage || {}, afterInstall }
  })
}

/** Time that a hook may take, ms: after its `pluginTimeout` Fastify would fail to close. */
function longestHook ({ initialConfig: { pluginTimeout = 10_000 } }: FastifyInstance): number {
  return pluginTimeout === 0 ? LONGEST_TIMEOUT_MS : Math.max(pluginTimeout - HOOK_RESERVE_MS, 0)
}

/** Fails before anything is opened. Without a namespace, `decorate` itself does. */
function claimNamespace (fastify: FastifyInstance, namespace: string | undefined): void {
  if (namespace === undefined || !fastify.hasDecorator('bitrix24')) return
  if (fastify.bitrix24 instanceof Bitrix24) throw new FST_B24_INVALID_OPTIONS('an app without a namespace is registered already')
  if (namespace in fastify.bitrix24) throw new FST_B24_INVALID_OPTIONS(`namespace '${namespace}' is taken`)
}

function decorate (fastify: FastifyInstance, namespace: string | undefined, bitrix24: Bitrix24): void {
  if (namespace === undefined) {
    fastify.decorate('bitrix24', bitrix24 as FastifyInstance['bitrix24'])
  } else {
    if (!fastify.hasDecorator('bitrix24')) fastify.decorate('bitrix24', Object.create(null))
    Object.assign(fastify.bitrix24, { [namespace]: bitrix24 })
  }
  // Once for all namespaces; where the host has a `portal` of its own, Fastify says so.
  if (!fastify.hasRequestDecorator(kPortal)) fastify.decorateRequest('portal', null).decorateRequest(kPortal, true)
}

export default fp(fastifyBitrix24, { fastify: '5.x', name: 'fastify-bitrix24' })
