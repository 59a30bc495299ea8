import type { Install, PairOwner } from '../installs/install.ts'
import type { InstallStore } from '../installs/store.ts'
import { livePairs } from './portal-access.ts'
import { refreshedAt } from './token-refresh.ts'

/** A pair whose refresh token will lapse unless it is used. */
export interface DuePair {
  memberId: string
  owner: PairOwner
}

/** Pairs of one run. */
const LEAST = 10
/** Part of all that are due, where that is more: a large fleet that installed within a day must get through in the month that is left. */
const SHARE = 1 / 20

/**
 * Finds the pairs of active portals that were made before a time, some of them: which, chance says, so that processes
 * which look at once do not all ask for the same.
 */
export async function findDue (store: InstallStore, before: number): Promise<DuePair[]> {
  const due: DuePair[] = []
  let cursor: string | undefined
  do {
    const page = await store.scan(cursor)
    for (const install of page.installs) due.push(...duePairs(install, before))
    cursor = page.cursor
  } while (cursor !== undefined)
  return shuffle(due).slice(0, Math.max(LEAST, Math.ceil(due.length * SHARE)))
}

function duePairs (install: Install, before: number): DuePair[] {
  if (install.state !== 'active') return []
  return livePairs(install).filter(pair => refreshedAt(pair) < before).map(({ owner }) => ({ memberId: install.memberId, owner }))
}

function shuffle<T> (list: T[]): T[] {
  const keyed = list.map(item => ({ item, key: Math.random() }))
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
}
