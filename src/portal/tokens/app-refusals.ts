import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS } from '../../errors.ts'

/** For how long a refusal is taken as known, ms; a quarter more or less at random, so that processes do not ask together. */
const HOLD_MS = 60_000
/** Can be about nothing but the app. The others may be about one portal: `invalid_client` is also said of an app that is not installed there. */
const ABOUT_ALL = 'wrong_client'

/**
 * Remembers that an OAuth server refused the app itself, its keys or its scope, so that not every call asks it again. Each
 * process finds out by itself.
 */
export class AppRefusals {
  readonly #log: Pick<FastifyBaseLogger, 'error'>
  readonly #now: () => number
  /** By portal, or `ABOUT_ALL`. */
  readonly #refusals = new Map<string, { error: string, until: number }>()
  #isTold = false

  constructor ({ log, now }: { log: Pick<FastifyBaseLogger, 'error'>, now: () => number }) {
    this.#log = log
    this.#now = now
  }

  /** @throws FST_B24_APP_KEYS when the app was refused a moment ago, and would be again */
  check (memberId: string): void {
    for (const about of [ABOUT_ALL, memberId]) {
      const refusal = this.#refusals.get(about)
      if (refusal === undefined) continue
      if (this.#now() < refusal.until) throw new FST_B24_APP_KEYS(refusal.error)
      this.#refusals.delete(about)
    }
  }

  /** The OAuth server refuses the app, with its word for it, when it is asked for a portal. @throws FST_B24_APP_KEYS */
  refuse (memberId: string, error: string): never {
    const until = this.#now() + HOLD_MS * (0.75 + Math.random() / 2)
    this.#refusals.set(error === ABOUT_ALL ? ABOUT_ALL : memberId, { error, until })
    if (!this.#isTold) {
      this.#log.error({ memberId, error }, 'the OAuth server refuses the app itself: look at clientId, clientSecret and the permissions of the app')
    }
    this.#isTold = true
    throw new FST_B24_APP_KEYS(error)
  }

  /** The OAuth server made a token: nothing is wrong with the app. */
  accept (): void {
    this.#isTold = false
    this.#refusals.delete(ABOUT_ALL)
  }
}
