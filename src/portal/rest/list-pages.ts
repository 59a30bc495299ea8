import { createHash } from 'node:crypto'
import type { ListOptions } from './call-options.ts'
import { type FetchPage, isPositional, List, type ListPage, nameOf } from './list.ts'

export type WalkOptions = Pick<ListOptions, 'paging' | 'idKey' | 'cursorIdKey'>

/** The first two pages of a walk that was seen to work: the second goes on where the first ends. */
interface Opening {
  cursor: string
  key: string
  first: ListPage
  second: ListPage | undefined
}

/**
 * Walks through a list by the ids of its items: what comes or goes meanwhile shifts no page, and nothing is counted. A method that knows no order
 * or filter by id is walked through by `start`, unless `paging` is `id`. Yields pages as the portal gives them, none empty; `result` may be the list, or have it as
 * its only one.
 *
 * The first page is asked for as it comes: where it is not all, it is asked for again, in the order of the id whose name it tells. Nothing is yielded before the
 * next page was seen to follow it.
 *
 * @throws FST_B24_LIST for params that have a `start`, or an `order` without `paging: 'start'`; and for an answer that cannot be walked on from
 */
export async function * listPages<T> (ask: FetchPage, method: string, params: object, options: WalkOptions = {}): AsyncGenerator<T[], void, undefined> {
  const list = new List(ask, method, params)
  if (nameOf(params, 'start') !== undefined) throw list.error("it has a 'start' of its own")
  if (options.paging === 'start' || (options.paging === undefined && isPositional(method, params))) yield * pagesByStart(list)
  else yield * pagesById(list, options)
}

async function * pagesById<T> (list: List, { paging, idKey, cursorIdKey }: WalkOptions): AsyncGenerator<T[], void, undefined> {
  if (Array.isArray(list.params)) throw list.error("parameters without names have no filter: name paging 'start'")
  for (const name of list.orderNames) {
    if (nameOf(list.params, name) !== undefined) throw list.error(`it goes by id, and has no '${name}': name paging 'start' for one`)
  }
  const named = cursorIdKey ?? idKey
  const plain = named === undefined ? await list.page({ start: -1 }) : undefined
  if (plain?.isLast === true) {
    if (plain.rows.length > 0) yield plain.rows as T[]
    return
  }
  const found = plain?.idName
  const isFixed = named !== undefined || paging === 'id'
  const opening = await openingOf(list, named === undefined ? namesLike(found) : [named], idKey ?? found, isFixed)
  if (opening !== undefined) yield * walkFrom<T>(list, opening)
  else if (isFixed) throw list.error(found === undefined && named === undefined ? 'its items have no id' : 'order and filter by id have no effect')
  else yield * pagesByStart<T>(list)
}

/** The name of an id in the items may be written in other letters in order and filter. */
function namesLike (key: string | undefined): string[] {
  return key === undefined ? [] : [key, key === key.toUpperCase() ? key.toLowerCase() : key.toUpperCase()]
}

/** Tries names of the id in order and filter, until one is seen to work. */
async function openingOf (list: List, cursors: string[], key: string | undefined, isFixed: boolean): Promise<Opening | undefined> {
  for (const cursor of cursors) {
    try {
      const opening = await tryCursor(list, cursor, key)
      if (opening !== undefined) return opening
    } catch (error) {
      // Some methods refuse a field that they do not know.
      const isRefused = (error as { code?: unknown }).code === 'FST_B24_PORTAL_CALL'
      if (!isRefused || (isFixed && cursor === cursors.at(-1))) throw error
    }
  }
  return undefined
}

async function tryCursor (list: List, cursor: string, given: string | undefined): Promise<Opening | undefined> {
  const first = await list.page(list.placeOf(cursor))
  const key = given ?? first.idName ?? 'id'
  const opening = { cursor, key, first, second: undefined }
  if (first.isLast) return opening
  const last = lastOf(list, first, key)
  if (last === undefined) return undefined
  const second = await list.page(list.placeOf(cursor, last))
  const isNext = second.rows.length === 0 || lastOf(list, second, key, last) !== undefined
  return isNext ? { ...opening, second } : undefined
}

async function * walkFrom<T> (list: List, { cursor, key, first, second }: Opening): AsyncGenerator<T[], void, undefined> {
  if (first.rows.length > 0) yield first.rows as T[]
  let page = second
  while (page !== undefined && page.rows.length > 0) {
    yield page.rows as T[]
    if (page.isLast) return
    const last = list.idsOf(page.rows, key).at(-1) as number
    page = await list.page(list.placeOf(cursor, last))
    if (page.rows.length > 0 && lastOf(list, page, key, last) === undefined) throw list.error(`its pages do not come in the order of '${cursor}'`)
  }
}

/** The last id of a page whose ids rise, from above another; `undefined` where they do not. */
function lastOf (list: List, { rows }: ListPage, key: string, above?: number): number | undefined {
  const ids = list.idsOf(rows, key)
  if (ids.length < rows.length) return undefined
  let last = above
  for (const id of ids) {
    if (last !== undefined && id <= last) return undefined
    last = id
  }
  return last
}

/**
 * Walks through a list by `start`, as `next` and `total` say. A method that tells neither and gives the same again from another `start` has no pages:
 * what it gave is all.
 *
 * @throws FST_B24_LIST for a page that comes again, and for an end before `total`
 */
async function * pagesByStart<T> (list: List): AsyncGenerator<T[], void, undefined> {
  const seen = new Set<string>()
  let [start, count, isGuess] = [0, 0, false]
  for (;;) {
    const page = await list.page({ start })
    if (page.rows.length === 0) {
      if ((page.total ?? 0) > count) throw list.error(`it gave ${count} of ${page.total} items`)
      return
    }
    const digest = createHash('sha1').update(JSON.stringify(page.rows)).digest('base64')
    if (seen.has(digest)) {
      if (isGuess && !list.isKnownToPage && !page.hasMore) return
      throw list.error('it gives the same page again')
    }
    seen.add(digest)
    count += page.rows.length
    yield page.rows as T[]
    const { next, total = 0 } = page
    if (next !== undefined && next <= start) throw list.error(`its next page begins at ${next}, which is not behind ${start}`)
    if (next === undefined && (total > 0 ? count >= total : page.isLast)) return
    isGuess = next === undefined && total === 0
    start = next ?? count
  }
}
