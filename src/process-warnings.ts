import type { FastifyBaseLogger } from 'fastify'
import warnings from 'process-warning'

const { createWarning } = warnings
const name = 'FastifyBitrix24Warning'
const hint = 'this app has no logger, and the plugin warns once only: set `logger` of Fastify'

/** What nobody would learn of in an app without a logger. Each kind is said once in a process. */
export const processWarnings = {
  event: createWarning({ name, code: 'FST_B24_WRN_EVENT', message: `%s (${hint})` }),
  handler: createWarning({ name, code: 'FST_B24_WRN_HANDLER', message: `a handler failed: %s (${hint})` })
}

/** Returns whether nobody reads what is logged. */
export function isSilent (log: FastifyBaseLogger): boolean {
  // Without a logger, Fastify has one whose methods are one function that does nothing.
  return log.level === 'silent' || log.warn === log.trace
}
