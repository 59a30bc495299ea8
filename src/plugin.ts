import type { FastifyBaseLogger, FastifyInstance, RegisterOptions } from 'fastify'
import fp from 'fastify-plugin'
import { resolve } from 'node:path'
import { Bitrix24 } from './bitrix24.ts'
import { checkConflicts, decorate } from './decorators.ts'
import type { HandlerContext } from './delivery/handlers/run-handler.ts'
import { HOOK_NAMES, LifecycleHookRegistry, createPortalListener } from './delivery/handlers/lifecycle-hooks.ts'
import { PairCheck } from './delivery/lifecycle/pair-check.ts'
import { openDelivery } from './delivery/open-delivery.ts'
import { LONGEST_TIMEOUT_MS } from './delivery/delivery-options.ts'
import { openEventStorage } from './delivery/event-storage.ts'
import { openChatEvents } from './delivery/open-chat-events.ts'
import { openOffline } from './delivery/open-offline.ts'
import { FST_B24_CLOSING, FST_B24_INVALID_OPTIONS } from './errors.ts'
import { HandlerRegistry } from './events/handlers.ts'
import { openInstallStore } from './installs/open-store.ts'
import { WebhookTokens } from './installs/application-token.ts'
import { UnverifiedLimiter } from './delivery/unverified-limiter.ts'
import { createEncryptor } from './oauth/encryption.ts'
import { readOptions, type FastifyBitrix24Options, type Settings } from './options.ts'
import { createPortalClient } from './portal/create-portal-client.ts'
import { Portals } from './portal/portal.ts'
import { type StartFacts, StartSync } from './portal/subscriptions/start-sync.ts'
import { LazyAbortController } from './async/abort.ts'
import { settlesWithin } from './async/with-timeout.ts'
import { EmbeddedLocks } from './portal/locks/embedded-locks.ts'
import type { Locks } from './storage/locks.ts'
import { appId } from './storage/redis/keys.ts'
import { RedisLimits } from './storage/redis/limits.ts'
import { RedisLocks } from './storage/redis/locks.ts'
import { LocalLimits } from './storage/sqlite/limits.ts'
import { storageOf } from './storage/redis/connect-failure.ts'
import { OutageLog } from './storage/redis/outage-log.ts'
import { eventRoutes } from './routes/events.ts'
import { openingStorage } from './storage/unavailable.ts'
import { isSilent, processWarnings } from './process-warnings.ts'

/** Part of Fastify's `pluginTimeout` that is left to it, ms. */
const HOOK_RESERVE_MS = 500

/** Another process may be there, or come; only the operator knows. */
const NO_WORKER = 'delivery.worker is false, so that this process only stores events, in dataDir: if no other process of this machine works on ' +
  'that folder, nobody handles them; leave delivery.worker out, or start one'

async function fastifyBitrix24 (fastify: FastifyInstance, options: FastifyBitrix24Options): Promise<void> {
  const settings = readOptions(options, fastify.prefix)
  checkConflicts(fastify, settings)
  const logging = loggingOf(options)
  const log = childLog(fastify, logging)
  const told = new OutageLog(log)
  const { store, client, close } = await openInstallStore(settings, told.failed, told.ready)
  fastify.addHook('onClose', close)
  const place = storageOf(settings)
  const storage = settings.delivery.mode === 'inline' ? undefined : await openingStorage(place, async () => await openEventStorage(settings, client, log, told))
  // Runs before the store is closed: the last hook added is the first run.
  fastify.addHook('onClose', async () => await storage?.close())

  const silent = isSilent(log)
  const warn = (message: string, details: object): void => {
    log.warn(details, message)
    if (silent) processWarnings.event(message)
  }
  const hooks = new HandlerRegistry<HandlerContext>({ warn, hookNames: HOOK_NAMES })
  const lifecycleHooks = new LifecycleHookRegistry()
  if (silent) lifecycleHooks.add('onHandlerError', ({ error, event, hook }) => processWarnings.handler(`${event?.name ?? hook}: ${error.message}`))
  const encryptor = createEncryptor(settings.encryptionKeys, settings.clientSecret, settings.clientId)
  const limiter = new UnverifiedLimiter()
  const closing = new LazyAbortController()
  const closed = new AbortController()
  const app = appId(settings.clientId)
  const embedded = client === undefined ? await openingStorage(place, async () => await EmbeddedLocks.open(settings.dataDir, app)) : undefined
  if (embedded !== undefined) fastify.addHook('onClose', async () => await embedded.end())
  const locks = client === undefined ? embedded as Locks : new RedisLocks(client, app)
  const buckets = client === undefined ? LocalLimits.of(resolve(settings.dataDir)) : new RedisLimits(client)
  const portalServices = createPortalClient({ ...settings, prefix: fastify.prefix + settings.prefix }, {
    app, store, locks, buckets, encryptor, hooks, listener: createPortalListener({ store, lifecycleHooks, portals: () => portals, log }), log, signal: closing.signal
  })
  fastify.addHook('onClose', async () => await portalServices.close())
  const { subscribe, subscriptions, syncFleet } = portalServices.subscriptionServices
  const { coalesce } = settings.delivery
  const offline = openOffline({ ...portalServices, locks, store, queue: storage?.queue, encryptor, hooks, coalesce, options: settings.subscriptions, log })
  const chatEvents = openChatEvents({ ...portalServices, locks, store, queue: storage?.queue, encryptor, hooks, fetchEveryMs: settings.subscriptions.fetchEveryMs, log })
  const startSync = new StartSync({ store, locks, log, isInSync: portalServices.subscriptionServices.isInSync, subscribe, facts: () => startFacts(settings, fastify.prefix, hooks.codes) })
  const portals = new Portals({ rest: portalServices.rest, updatePlan: portalServices.updatePlan, subscriptions, offline: offline.queue })
  fastify.addHook('preClose', async () => {
    closing.abort(new FST_B24_CLOSING())
    setTimeout(() => closed.abort(new FST_B24_CLOSING()), settings.delivery.closeTimeoutMs).unref()
    // Before any plugin is closed that the handlers use. Posts that are under way are still taken in, and what portals had kept.
    const ends = [offline.close(), chatEvents.close(), startSync.close(), storage?.queue.stopWorking(settings.delivery.closeTimeoutMs)]
    await settlesWithin(Promise.allSettled(ends), longestHook(fastify))
  })
  const delivery = openDelivery({
    settings: settings.delivery,
    store,
    storage,
    hooks,
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
    page: settings.installPage !== false,
    log,
    closing
  })
  // Not before every handler is there: an event that none listens to counts as handled.
  fastify.addHook('onReady', async () => {
    if (subscribe !== undefined) for (const hook of ['onInstall', 'onUpdate'] as const) lifecycleHooks.add(hook, subscribe, 'plugin subscribe')
    chatEvents.check()
    delivery.start()
    startSync.start()
    if (!settings.delivery.worker) {
      if (settings.redis === undefined) log.warn({ dataDir: settings.dataDir }, NO_WORKER)
      return
    }
    portalServices.start()
    offline.start()
    chatEvents.start()
  })

  decorate(fastify, settings, new Bitrix24({
    hooks,
    lifecycle: lifecycleHooks,
    store,
    portals,
    syncFleet,
    deadLetters: delivery.deadLetters,
    queueCounts: delivery.queueCounts,
    count: () => ({ events: { ...delivery.counts }, schemaMismatches: delivery.schemaMismatches(), blocked: portalServices.blocks.list(), appKeys: portalServices.keys.state })
  }))
  const afterInstall = subscribe && (async (memberId: string, signal: AbortSignal) => await subscriptions.sync(memberId, { signal }))
  await fastify.register(eventRoutes, {
    base: settings.prefix,
    // The scope of the plugin is that of the host, where Fastify leaves them alone.
    ...logging,
    receiver: delivery.receiver,
    bodyLimit: settings.bodyLimit,
    closeTimeoutMs: Math.min(settings.delivery.closeTimeoutMs, longestHook(fastify)),
    page: delivery.pages === undefined ? undefined : { pages: delivery.pages, options: settings.installPage || {}, afterInstall }
  })
}

type Logging = Pick<RegisterOptions, 'logLevel' | 'logSerializers'>

/** What Fastify lets every registration say of its logs. */
function loggingOf ({ logLevel, logSerializers }: RegisterOptions): Logging {
  return { ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) }
}

/** @throws FST_B24_INVALID_OPTIONS for a level that the logger does not have */
function childLog ({ log }: FastifyInstance, { logLevel: level, logSerializers: serializers }: Logging): FastifyBaseLogger {
  try {
    return log.child({ plugin: 'fastify-bitrix24' }, { ...(level !== undefined && { level }), ...(serializers !== undefined && { serializers }) })
  } catch (error) {
    throw new FST_B24_INVALID_OPTIONS(`logLevel or logSerializers: ${(error as Error).message}`)
  }
}

function startFacts (settings: Settings, scope: string, codes: readonly string[]): Omit<StartFacts, 'portals' | 'hasPublicUrl'> {
  const path = scope + settings.prefix
  const storage = storageOf(settings)
  return {
    routes: { events: `${path}/events`, install: `${path}/install` },
    storage: settings.store === undefined ? storage : `own store, ${storage}`,
    codes,
    isWorker: settings.delivery.worker,
    syncsNow: settings.subscriptions.sync === 'start'
  }
}

/** Time that a hook may take, ms: after its `pluginTimeout` Fastify would fail to close. */
function longestHook ({ initialConfig: { pluginTimeout = 10_000 } }: FastifyInstance): number {
  return pluginTimeout === 0 ? LONGEST_TIMEOUT_MS : Math.max(pluginTimeout - HOOK_RESERVE_MS, 0)
}

export default fp(fastifyBitrix24, { fastify: '5.x', name: 'fastify-bitrix24' })
