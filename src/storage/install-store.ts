import { setTimeout as sleep } from 'node:timers/promises'
import type { Install } from '../installs/install.ts'
import { storeUnavailable } from './unavailable.ts'

/** An install with the version that `swap` requires to replace it. */
export interface StoredInstall {
  /** 1 for the first write, incremented by each. */
  version: number
  install: Install
}

export interface InstallList {
  installs: Install[]
  /** Cursor of the next page; `undefined` on the last one. */
  cursor?: string
}

/**
 * Stores the installs of one app. Has only three methods, so that any database can implement it; `installStoreContract()` of
 * `fastify-bitrix24/testing` tests custom stores.
 *
 * Every method rejects with `FST_B24_STORE_UNAVAILABLE` if the store does not answer within a second. A rejected `swap` may have been written
 * anyway.
 */
export interface InstallStore {
  /** Returns the install of a portal, or `undefined`. */
  get (memberId: string): Promise<StoredInstall | undefined>
  /**
   * Writes `next` if the stored version is still `version` (0: none is stored), durably before it resolves.
   * @returns `true` if written, `false` if another writer was first
   */
  swap (memberId: string, version: number, next: Install): Promise<boolean>
  /**
   * Returns a page of installs after `cursor`, ordered by `memberId`. An install that exists during the whole iteration is returned exactly
   * once.
   */
  scan (cursor?: string): Promise<InstallList>
}

/** A store and the function that closes it. */
export interface OpenedStore {
  store: InstallStore
  /** Closes what was opened, but no connection of the caller. */
  close (): Promise<void>
}

const MAX_SWAPS = 20

/**
 * Updates fields of a record independently of lifecycle events. `updatedAt` is kept: it refers to changes by the portal.
 *
 * @param edit returns the given record itself if there is nothing to write
 * @throws FST_B24_STORE_UNAVAILABLE
 */
export async function updateInstall (store: Pick<InstallStore, 'get' | 'swap'>, memberId: string, edit: (install: Install) => Install): Promise<void> {
  for (let swap = 0; swap < MAX_SWAPS; swap++) {
    const stored = await store.get(memberId)
    if (stored === undefined) return
    const next = edit(stored.install)
    if (next === stored.install || await store.swap(memberId, stored.version, next)) return
    await sleep(Math.random() * 10 * (swap + 1))
  }
  throw storeUnavailable(new Error(`${MAX_SWAPS} consecutive writes lost the race against other writers`))
}

/** Yields all installs in pages, ordered by `memberId`. @throws FST_B24_STORE_UNAVAILABLE */
export async function * scanInstalls (store: Pick<InstallStore, 'scan'>): AsyncGenerator<Install[], void, undefined> {
  let cursor: string | undefined
  do {
    const page = await store.scan(cursor)
    yield page.installs
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** How long a cached install is used, ms. */
const CACHE_TTL_MS = 100

/**
 * Reads the install of a portal once for a burst of events. A running handler has a slightly outdated install in any case. Read the store again
 * before treating an install as missing.
 */
export class InstallCache {
  readonly #store: Pick<InstallStore, 'get'>
  #reads = new Map<string, Promise<StoredInstall | undefined>>()
  #validUntil = 0

  constructor (store: Pick<InstallStore, 'get'>) {
    this.#store = store
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  get (memberId: string): Promise<StoredInstall | undefined> {
    const now = performance.now()
    if (now > this.#validUntil) {
      this.#reads = new Map()
      this.#validUntil = now + CACHE_TTL_MS
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
