import type { GroupState } from './event-store.ts'

/** Ratio of slots of a responsive group to the slots it leaves free: of 16 slots it may use 12, the next group 3, another one the last. */
export const RESPONSIVE_SHARE = 3
/** Fraction of slots for all groups without a successful run within `RESPONSIVE_MS`. */
export const UNTESTED_SHARE = 0.75
/** Fraction of slots for all groups that hang. */
export const HUNG_SHARE = 0.25
/** Fraction of slots for one unverified group without competitors: each of its runs may wait for an OAuth server that does not respond. */
export const UNVERIFIED_SHARE = 0.25
/** How long a group counts as responsive after a successful run, ms. */
export const RESPONSIVE_MS = 30_000
/** How long a group is expected to send another event after a successful run, ms. */
export const RECENTLY_ACTIVE_MS = 10 * 60_000

export interface SlotUsage {
  concurrency: number
  /** Number of running events. */
  all: number
  /** Those whose group was not responsive when they started. */
  untested: number
  /** Those whose group hung when they started, or that have been running for too long. */
  hung: number
}

/**
 * Returns whether a group may use another slot of a worker. The Redis scripts implement the same rule in Lua.
 *
 * @param own slots that the group uses
 * @param most slots that it may use while others wait: one more than its successful runs of the last seconds, so that a group that starts to hang
 *   occupies only a few
 * @param isAlone whether no other group waits or runs, nor had a successful run within `RECENTLY_ACTIVE_MS` and has not hung since
 */
export function hasFreeSlot (state: GroupState, { own, most, isAlone }: { own: number, most: number, isAlone: boolean }, { concurrency, all, untested, hung }: SlotUsage): boolean {
  if (isAlone && state !== 'hung') return true
  if (state === 'responsive') return own === 0 || (own < most && own + 1 <= RESPONSIVE_SHARE * (concurrency - all - 1))
  // A single slot until a run succeeds.
  if (own > 0) return false
  if (state === 'hung' && hung >= Math.max(1, Math.floor(concurrency * HUNG_SHARE))) return false
  return untested < Math.max(1, Math.floor(concurrency * UNTESTED_SHARE))
}

/** How long a successful run gives its group another slot, ms; up to twice as long. */
const RECENT_MS = 5_000

/** Counts occurrences by group over the last 5 to 10 seconds. */
export class RecentCounts {
  #before = new Map<string, number>()
  #now = new Map<string, number>()
  #since = performance.now()

  add (group: string): void {
    this.#now.set(group, this.of(group) - (this.#before.get(group) ?? 0) + 1)
  }

  of (group: string): number {
    const now = performance.now()
    if (now - this.#since > RECENT_MS) {
      this.#before = now - this.#since > 2 * RECENT_MS ? new Map() : this.#now
      this.#now = new Map()
      this.#since = now
    }
    return (this.#before.get(group) ?? 0) + (this.#now.get(group) ?? 0)
  }
}
