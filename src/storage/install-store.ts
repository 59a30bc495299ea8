import { setTimeout as sleep } from 'node:timers/promises'
import type { Install } from '../installs/install.ts'
import { storeUnavailable } from './unavailable.ts'

/** A record and the version that `swap` must name to replace it. */
export interface StoredInstall {
  /** 1 for the first write, one more at each. */
  version: number
  install: Install
}

export interface InstallList {
  installs: Install[]
  /** Pass it to the next call; `undefined` when there is no more. */
  cursor?: string
}

/**
 * Keeps the installs of one app. Three verbs, so that any database can do it; `installStoreContract()` of
 * `fastify-bitrix24/testing` holds an own store against what the plugin relies on.
 *
 * Every verb rejects with `FST_B24_STORE_UNAVAILABLE` when the store cannot answer within a second. A swap that rejects may
 * have been written all the same.
 */
export interface InstallStore {
  /** The record of a portal, or `undefined` when there is none. */
  get (memberId: string): Promise<StoredInstall | undefined>
  /**
   * Writes `next` if the record still has `version` (0: if there is none), durably before it resolves.
   * @returns `true` when written, `false` when another writer was first.
   */
  swap (memberId: string, version: number, next: Install): Promise<boolean>
  /**
   * Some installs after `cursor`, in the order of their `memberId`. A record that is there during the whole walk is seen
   * exactly once.
   */
  scan (cursor?: string): Promise<InstallList>
}

/** A store and what ends it. */
export interface OpenedStore {
  store: InstallStore
  /** Closes what was opened, and nothing that someone else owns. */
  close (): Promise<void>
}

const MOST_SWAPS = 20

/**
 * Updates fields of a record independently of lifecycle events. `updatedAt` is kept: it refers to changes by the portal.
 *
 * @param edit returns the given record itself if there is nothing to write
 * @throws FST_B24_STORE_UNAVAILABLE
 */
export async function updateInstall (store: Pick<InstallStore, 'get' | 'swap'>, memberId: string, edit: (install: Install) => Install): Promise<void> {
  for (let swap = 0; swap < MOST_SWAPS; swap++) {
    const stored = await store.get(memberId)
    if (stored === undefined) return
    const next = edit(stored.install)
    if (next === stored.install || await store.swap(memberId, stored.version, next)) return
    await sleep(Math.random() * 10 * (swap + 1))
  }
  throw storeUnavailable(new Error(`${MOST_SWAPS} writes in a row came too late`))
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

/** Longest time for which what was read of a portal is good enough to hand its events to handlers, ms. */
const GOOD_FOR_MS = 100

/**
 * Reads installs for handlers, once for the events of a burst: a handler that runs has an install of some milliseconds ago at hand
 * in any case. Where nothing was there, look anew before you say so.
 */
export class InstallCache {
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
