import type { FastifyBaseLogger, FastifyInstance, RegisterOptions } from 'fastify'
import fp from 'fastify-plugin'
import { openApp } from './app.ts'
import { checkConflicts, decorate } from './decorators.ts'
import { MAX_TIMEOUT_MS } from './delivery/delivery-options.ts'
import { FST_B24_INVALID_OPTIONS } from './errors.ts'
import { readOptions, type FastifyBitrix24Options } from './options.ts'
import { eventRoutes } from './routes/events.ts'

/** Time reserved for Fastify within its `pluginTimeout`, ms. */
const HOOK_RESERVE_MS = 500

async function fastifyBitrix24 (fastify: FastifyInstance, options: FastifyBitrix24Options): Promise<void> {
  const settings = readOptions(options, fastify.prefix)
  checkConflicts(fastify, settings)
  const logging = loggingOf(options)
  const app = await openApp(settings, fastify.prefix + settings.prefix, childLog(fastify, logging))
  fastify.addHook('onClose', async () => await app.close())
  // preClose runs before any plugin that handlers use is closed.
  fastify.addHook('preClose', async () => await app.stop(hookTimeoutMs(fastify)))
  // onReady runs once all handlers are registered. An event without a handler would be dropped as unheard.
  fastify.addHook('onReady', async () => app.start())
  decorate(fastify, settings, app.bitrix24)
  await fastify.register(eventRoutes, {
    base: settings.prefix,
    // fastify-plugin shares the host's scope, for which Fastify ignores these options.
    ...logging,
    receiver: app.receiver,
    bodyLimit: settings.bodyLimit,
    closeTimeoutMs: Math.min(settings.delivery.closeTimeoutMs, hookTimeoutMs(fastify)),
    page: app.page
  })
}

type Logging = Pick<RegisterOptions, 'logLevel' | 'logSerializers'>

/** Picks the log options that Fastify supports for every registration. */
function loggingOf ({ logLevel, logSerializers }: RegisterOptions): Logging {
  return { ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) }
}

/** @throws FST_B24_INVALID_OPTIONS for an unknown log level */
function childLog ({ log }: FastifyInstance, { logLevel: level, logSerializers: serializers }: Logging): FastifyBaseLogger {
  try {
    return log.child({ plugin: 'fastify-bitrix24' }, { ...(level !== undefined && { level }), ...(serializers !== undefined && { serializers }) })
  } catch (error) {
    throw new FST_B24_INVALID_OPTIONS(`logLevel or logSerializers: ${(error as Error).message}`)
  }
}

/** Returns the time limit of a hook, ms. Closing fails if a hook exceeds Fastify's `pluginTimeout`. */
function hookTimeoutMs ({ initialConfig: { pluginTimeout = 10_000 } }: FastifyInstance): number {
  return pluginTimeout === 0 ? MAX_TIMEOUT_MS : Math.max(pluginTimeout - HOOK_RESERVE_MS, 0)
}

export default fp(fastifyBitrix24, { fastify: '5.x', name: 'fastify-bitrix24' })
