import type { Install } from './install.ts'
import type { InstallStore } from '../storage/install-store.ts'

/** Walks through all installs, page by page, in the order of their `memberId`. @throws FST_B24_STORE_UNAVAILABLE */
export async function * pagesOf (store: Pick<InstallStore, 'scan'>): AsyncGenerator<Install[], void, undefined> {
  let cursor: string | undefined
  do {
    const page = await store.scan(cursor)
    yield page.installs
    cursor = page.cursor
  } while (cursor !== undefined)
}
