import type { FastifyBaseLogger } from 'fastify'
import type { LifecycleHookRegistry } from './handlers/lifecycle-hooks.ts'

/** Minimum time between two reports of a portal, ms. */
const REPORT_PAUSE_MS = 60_000
const MAX_PORTALS = 1_000

interface Refusals {
  count: number
  reportedAt: number
}

/** Counts events rejected because of their portal's share of waiting events. Reports each portal to the log and to `onQuota` once a minute. */
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
    // Ordered by the last rejection, so that the portal without one for the longest time is evicted first.
    this.#portals.delete(memberId)
    this.#portals.set(memberId, refusals)
    const [oldest] = this.#portals.keys()
    if (this.#portals.size > MAX_PORTALS) this.#portals.delete(oldest as string)
    const now = performance.now()
    if (now - refusals.reportedAt < REPORT_PAUSE_MS) return
    refusals.reportedAt = now
    const fact = { memberId, refused: refusals.count }
    this.#log.warn(fact, 'portal exceeded its share of waiting events, rejecting its events with 503 until some are handled')
    this.#hooks.notify('onQuota', fact, { log: this.#log })
  }

  /** Returns the rejected events since the start of this process, by portal. */
  list (): Record<string, number> {
    return Object.fromEntries(Array.from(this.#portals, ([memberId, { count }]) => [memberId, count]))
  }
}
