import type { GroupState } from './event-store.ts'

/** A group that responds may have so many times the places that it leaves free: of 16 places 12, the next one 3, one more the last. */
export const RESPONSIVE_SHARE = 3
/** Part of the places that groups may have of which no run has ended well lately. */
export const UNTESTED_SHARE = 0.75
/** Part of the places that groups may have that hang. */
export const HUNG_SHARE = 0.25
/** Part of the places that one unverified group may have while it is alone: each of its runs may wait for an OAuth server that does not answer. */
export const UNVERIFIED_SHARE = 0.25
/** How long a group counts as responsive after a run of it has ended well, ms. */
export const RESPONSIVE_MS = 30_000
/** How long a group of which a run ended well counts as one that may soon have another event, ms. */
export const LATELY_MS = 10 * 60_000

export interface Places {
  concurrency: number
  /** All that run. */
  all: number
  /** Those of groups that were not responsive when they were begun; what hung is among them. */
  untested: number
  hung: number
}

/**
 * Whether a group may have another place of a worker. The scripts of Redis have the same rule in Lua.
 *
 * @param own places that the group has
 * @param most places that it may have while others are there: one more than its runs that ended well in the last seconds, so that a group which begins
 *   to hang has taken few
 * @param isAlone whether no other group waits or runs, and none was responsive lately
 */
export function hasRoom (state: GroupState, { own, most, isAlone }: { own: number, most: number, isAlone: boolean }, { concurrency, all, untested, hung }: Places): boolean {
  if (isAlone && state !== 'hung') return true
  if (state === 'responsive') return own === 0 || (own < most && own + 1 <= RESPONSIVE_SHARE * (concurrency - all - 1))
  // One place until a run ends well: nobody knows whether one will.
  if (own > 0) return false
  if (state === 'hung' && hung >= Math.max(1, Math.floor(concurrency * HUNG_SHARE))) return false
  return untested < Math.max(1, Math.floor(concurrency * UNTESTED_SHARE))
}

/** How long a run that ended well lets its group have another place, ms; up to twice as long. */
const RECENT_MS = 5_000

/** How often something happened to each of many groups in the last 5 to 10 seconds. */
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
