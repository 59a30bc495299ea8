import type { FastifyBaseLogger, FastifyInstance, RegisterOptions } from 'fastify'
import fp from 'fastify-plugin'
import { openApp } from './app.ts'
import { checkConflicts, decorate } from './decorators.ts'
import { MAX_TIMEOUT_MS } from './delivery/delivery-options.ts'
import { FST_B24_INVALID_OPTIONS } from './errors.ts'
import { readOptions, type FastifyBitrix24Options } from './options.ts'
import { eventRoutes } from './routes/events.ts'

/** Part of Fastify's `pluginTimeout` that is left to it, ms. */
const HOOK_RESERVE_MS = 500

async function fastifyBitrix24 (fastify: FastifyInstance, options: FastifyBitrix24Options): Promise<void> {
  const settings = readOptions(options, fastify.prefix)
  checkConflicts(fastify, settings)
  const logging = loggingOf(options)
  const app = await openApp(settings, fastify.prefix + settings.prefix, childLog(fastify, logging))
  fastify.addHook('onClose', async () => await app.close())
  // Before any plugin is closed that the handlers use.
  fastify.addHook('preClose', async () => await app.stop(longestHook(fastify)))
  // Not before every handler is there: an event that none listens to counts as unheard.
  fastify.addHook('onReady', async () => app.start())
  decorate(fastify, settings, app.bitrix24)
  await fastify.register(eventRoutes, {
    base: settings.prefix,
    // The scope of the plugin is that of the host, where Fastify leaves them alone.
    ...logging,
    receiver: app.receiver,
    bodyLimit: settings.bodyLimit,
    closeTimeoutMs: Math.min(settings.delivery.closeTimeoutMs, longestHook(fastify)),
    page: app.page
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

/** Time that a hook may take, ms: after its `pluginTimeout` Fastify would fail to close. */
function longestHook ({ initialConfig: { pluginTimeout = 10_000 } }: FastifyInstance): number {
  return pluginTimeout === 0 ? MAX_TIMEOUT_MS : Math.max(pluginTimeout - HOOK_RESERVE_MS, 0)
}

export default fp(fastifyBitrix24, { fastify: '5.x', name: 'fastify-bitrix24' })
