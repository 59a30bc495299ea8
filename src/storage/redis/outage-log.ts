import type { FastifyBaseLogger } from 'fastify'
import { isConnectionError } from '../unavailable.ts'

/** Logs each outage of Redis once, even if several connections notice it, and its end. */
export class OutageLog {
  readonly #log: FastifyBaseLogger
  #isAway = false

  constructor (log: FastifyBaseLogger) {
    this.#log = log
  }

  /** A connection or a command failed. */
  failed = (error: Error): void => {
    if (!isConnectionError(error)) return this.#log.warn({ err: error }, 'Redis rejected a command')
    if (this.#isAway) return
    this.#isAway = true
    this.#log.warn({ err: error }, 'Redis connection lost')
  }

  /** A connection was restored. */
  ready = (): void => {
    if (!this.#isAway) return
    this.#isAway = false
    // Same level as the outage, so that its end is not filtered out.
    this.#log.warn('Redis connection restored')
  }
}
