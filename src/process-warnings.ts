import type { FastifyBaseLogger } from 'fastify'
import warnings from 'process-warning'

const { createWarning } = warnings
const name = 'FastifyBitrix24Warning'
const hint = 'this app has no logger, so this warning is emitted only once: set `logger` of Fastify'

/** Warnings that would be lost in an app without a logger. Each kind is emitted once per process. */
export const processWarnings = {
  event: createWarning({ name, code: 'FST_B24_WRN_EVENT', message: `%s (${hint})` }),
  handler: createWarning({ name, code: 'FST_B24_WRN_HANDLER', message: `a handler failed: %s (${hint})` })
}

/** Returns whether the log output is discarded. */
export function isSilent (log: FastifyBaseLogger): boolean {
  // Without a logger, Fastify uses one whose methods are the same no-op function.
  return log.level === 'silent' || log.warn === log.trace
}
