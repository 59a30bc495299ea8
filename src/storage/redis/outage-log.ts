import type { FastifyBaseLogger } from 'fastify'
import { isConnectionError } from '../unavailable.ts'

/** Tells the log of Redis: an outage once, though each connection notices it, and once that it is over. */
export class OutageLog {
  readonly #log: FastifyBaseLogger
  #isAway = false

  constructor (log: FastifyBaseLogger) {
    this.#log = log
  }

  /** A connection or a command failed. */
  failed = (error: Error): void => {
    if (!isConnectionError(error)) return this.#log.warn({ err: error }, 'redis refuses')
    if (this.#isAway) return
    this.#isAway = true
    this.#log.warn({ err: error }, 'redis is away')
  }

  /** A connection is there again. */
  ready = (): void => {
    if (!this.#isAway) return
    this.#isAway = false
    // As loud as the outage: who reads warnings alone would wait for its end.
    this.#log.warn('redis is back')
  }
}
