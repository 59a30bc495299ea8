import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'

/** Longest time for which what was read of a portal is good enough to hand its events to handlers, ms. */
const GOOD_FOR_MS = 100

/**
 * Reads installs for handlers, once for the events of a burst: a handler that runs has an install of some milliseconds ago at hand
 * in any case. Where nothing was there, look anew before you say so.
 */
export class RecentInstalls {
  readonly #store: Pick<InstallStore, 'get'>
  #reads = new Map<string, Promise<StoredInstall | undefined>>()
  #goodUntil = 0

  constructor (store: Pick<InstallStore, 'get'>) {
    this.#store = store
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  get (memberId: string): Promise<StoredInstall | undefined> {
    const now = performance.now()
    if (now > this.#goodUntil) {
      this.#reads = new Map()
      this.#goodUntil = now + GOOD_FOR_MS
    }
    const recent = this.#reads.get(memberId)
    if (recent !== undefined) return recent
    const reads = this.#reads
    const read = this.#store.get(memberId)
    reads.set(memberId, read)
    read.catch(() => reads.delete(memberId))
    return read
  }
}
