import pLimit, { type LimitFunction } from 'p-limit'
import { FST_B24_INSTALL_BUSY } from '../errors.ts'

export interface CheckQueueLimits {
  /** Checks that run at once. @default 16 */
  concurrency?: number
  /** Checks that may wait. @default 256 */
  waiting?: number
  /** Checks of one portal that may wait while another of it runs. @default 2 */
  waitingPerPortal?: number
}

/** Runs the checks of installs, so that a flood of forged ones costs a bounded amount and delays no genuine portal. */
export interface CheckQueue {
  /**
   * Runs `check` when its turn comes; one at a time per portal.
   *
   * @param trusted `true` only where the post itself proved its portal, as by the token that is kept of it. Those have
   *   limits of their own: a member id is easy to claim, and claims must not stand in the way of portals that are known.
   * @throws FST_B24_INSTALL_BUSY when too many wait already
   */
  run<T> (memberId: string, trusted: boolean, check: () => Promise<T>): Promise<T>
  /** Checks that run or wait now. */
  readonly size: number
}

export function createCheckQueue (limits: CheckQueueLimits = {}): CheckQueue {
  const claimed = new Lane(limits)
  const trusted = new Lane(limits)
  return {
    run: (memberId, isTrusted, check) => (isTrusted ? trusted : claimed).run(memberId, check),
    get size () { return claimed.size + trusted.size }
  }
}

class Lane {
  readonly #limit: LimitFunction
  readonly #most: number
  readonly #mostPerPortal: number
  /** Checks of each portal that has any, in their order. */
  readonly #portals = new Map<string, { limit: LimitFunction, size: number }>()
  size = 0

  constructor ({ concurrency = 16, waiting = 256, waitingPerPortal = 2 }: CheckQueueLimits) {
    this.#limit = pLimit(concurrency)
    this.#most = concurrency + waiting
    this.#mostPerPortal = 1 + waitingPerPortal
  }

  async run<T> (memberId: string, check: () => Promise<T>): Promise<T> {
    const portal = this.#portals.get(memberId) ?? { limit: pLimit(1), size: 0 }
    if (this.size >= this.#most || portal.size >= this.#mostPerPortal) throw new FST_B24_INSTALL_BUSY()
    this.#portals.set(memberId, portal)
    this.size++
    portal.size++
    try {
      return await portal.limit(() => this.#limit(check))
    } finally {
      this.size--
      if (--portal.size === 0) this.#portals.delete(memberId)
    }
  }
}
