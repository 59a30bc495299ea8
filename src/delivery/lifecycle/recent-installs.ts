import type { InstallStore, StoredInstall } from '../../installs/store.ts'

/** Time for which what was read of a portal is good enough to hand its events to handlers, ms. */
const GOOD_FOR_MS = 100

/**
 * Reads installs for handlers, once for the events of a burst: a handler that runs has an install of some milliseconds ago at hand
 * in any case. Where nothing was there, look anew before you say so.
 */
export class RecentInstalls {
  readonly #store: Pick<InstallStore, 'get'>
  readonly #reads = new Map<string, Promise<StoredInstall | undefined>>()

  constructor (store: Pick<InstallStore, 'get'>) {
    this.#store = store
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  get (memberId: string): Promise<StoredInstall | undefined> {
    const recent = this.#reads.get(memberId)
    if (recent !== undefined) return recent
    const read = this.#store.get(memberId)
    const forget = (): void => {
      if (this.#reads.get(memberId) === read) this.#reads.delete(memberId)
    }
    this.#reads.set(memberId, read)
    setTimeout(forget, GOOD_FOR_MS).unref()
    read.catch(forget)
    return read
  }
}
