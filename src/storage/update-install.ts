import { setTimeout as sleep } from 'node:timers/promises'
import type { InstallStore } from './install-store.ts'
import { storeUnavailable } from './unavailable.ts'
import type { Install } from '../installs/install.ts'

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
