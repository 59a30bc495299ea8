import type { FastifyBaseLogger } from 'fastify'
import type { LifecycleHookRegistry } from './handlers/lifecycle-hooks.ts'

/** Least time between two reports of one portal, ms. */
const QUIET_MS = 60_000
/** Portals that are remembered. */
const MOST_PORTALS = 1_000

interface Refusals {
  count: number
  reportedAt: number
}

/** Counts the events that were refused because their portal has as many waiting as it may. Reports each portal to the log and to `onQuota` once a minute. */
export class QuotaReports {
  readonly #hooks: LifecycleHookRegistry
  readonly #log: FastifyBaseLogger
  readonly #portals = new Map<string, Refusals>()

  constructor (hooks: LifecycleHookRegistry, log: FastifyBaseLogger) {
    this.#hooks = hooks
    this.#log = log
  }

  refused (memberId: string): void {
    const refusals = this.#portals.get(memberId) ?? { count: 0, reportedAt: -Infinity }
    refusals.count++
    // The newest is last: the one that goes first was not refused for the longest time.
    this.#portals.delete(memberId)
    this.#portals.set(memberId, refusals)
    const [oldest] = this.#portals.keys()
    if (this.#portals.size > MOST_PORTALS) this.#portals.delete(oldest as string)
    const now = performance.now()
    if (now - refusals.reportedAt < QUIET_MS) return
    refusals.reportedAt = now
    const fact = { memberId, refused: refusals.count }
    this.#log.warn(fact, 'portal exceeds its share of waiting events, its events are answered 503 until some are handled')
    this.#hooks.notify('onQuota', fact, { log: this.#log })
  }

  /** Refused events since the start of this process, by portal. */
  list (): Record<string, number> {
    return Object.fromEntries(Array.from(this.#portals, ([memberId, { count }]) => [memberId, count]))
  }
}
