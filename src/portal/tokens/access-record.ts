import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { type AccessFact, type AccessTransition, applyAccessFact } from '../../installs/access-transitions.ts'
import type { InstallStore } from '../../storage/install-store.ts'

export interface WriteLimits {
  /** How long to try while the store is away or others write, ms. */
  patienceMs: number
  /** Gives up when it aborts. */
  signal: AbortSignal
}

const LONGEST_PAUSE_MS = 1000

/** Writes what OAuth servers answer into the records of portals. */
export class AccessRecord {
  readonly #store: InstallStore
  readonly #now: () => number

  constructor (store: InstallStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /**
   * Applies a fact to the record of a portal, durably before it resolves.
   *
   * @throws FST_B24_STORE_UNAVAILABLE when it could not be written in time
   */
  async write (memberId: string, fact: AccessFact, { patienceMs, signal }: WriteLimits): Promise<AccessTransition> {
    const end = performance.now() + patienceMs
    let unsure: AccessTransition | undefined
    for (let pause = 25; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      let problem: unknown = new Error('others write all the time')
      try {
        const stored = await this.#store.get(memberId)
        // A swap that failed may have been written all the same, and would look old by now.
        if (unsure !== undefined && isDeepStrictEqual(stored?.install, unsure.install)) return unsure
        const next = applyAccessFact(stored?.install, fact, this.#now())
        if (stored === undefined || next.install === undefined || next.install === stored.install) return next
        unsure = next
        if (await this.#store.swap(memberId, stored.version, next.install)) return next
        unsure = undefined
        pause = 1
      } catch (error) {
        problem = error
      }
      if (signal.aborted || performance.now() >= end) throw storeUnavailable(problem)
      await sleep(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
    }
  }
}
