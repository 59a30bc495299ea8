import { createHash } from 'node:crypto'
import type { ListOptions } from './call-arguments.ts'
import { type FetchPage, isPositional, List, type ListPage, nameOf } from './list.ts'

export type PagingOptions = Pick<ListOptions, 'paging' | 'idKey' | 'cursorIdKey'>

/** The first two pages, once ordering and filtering by id is proven to work: the second continues the first. */
interface Start {
  cursor: string
  key: string
  first: ListPage
  second: ListPage | undefined
}

/**
 * Iterates over the pages of a list by item id, which is stable under concurrent changes and skips the count. Falls back to `start` for methods
 * without order or filter by id, unless `paging` is `id`. Yields the portal's pages, never empty ones.
 *
 * Fetches the first page unordered to learn the name of the id; if there are more pages, fetches it again ordered by id. Yields nothing until the
 * second page is known to continue the first.
 *
 * @throws FST_B24_LIST for params with `start`, or with `order` unless `paging` is `start`; and for pages that do not continue each other
 */
export async function * listPages<T> (fetchPage: FetchPage, method: string, params: object, options: PagingOptions = {}): AsyncGenerator<T[], void, undefined> {
  const list = new List(fetchPage, method, params)
  if (nameOf(params, 'start') !== undefined) throw list.error("parameter 'start' is not allowed")
  if (options.paging === 'start' || (options.paging === undefined && isPositional(method, params))) yield * pagesByStart(list)
  else yield * pagesById(list, options)
}

async function * pagesById<T> (list: List, { paging, idKey, cursorIdKey }: PagingOptions): AsyncGenerator<T[], void, undefined> {
  if (Array.isArray(list.params)) throw list.error("positional parameters have no filter: set paging to 'start'")
  for (const name of list.orderNames) {
    if (nameOf(list.params, name) !== undefined) throw list.error(`paging by id does not support '${name}': set paging to 'start'`)
  }
  const named = cursorIdKey ?? idKey
  const unordered = named === undefined ? await list.page({ start: -1 }) : undefined
  if (unordered?.isLast === true) {
    if (unordered.rows.length > 0) yield unordered.rows as T[]
    return
  }
  const found = unordered?.idName
  const isFixed = named !== undefined || paging === 'id'
  const started = await findStart(list, named === undefined ? namesToTry(found) : [named], idKey ?? found, isFixed)
  if (started !== undefined) yield * continueFrom<T>(list, started)
  else if (isFixed) throw list.error(found === undefined && named === undefined ? 'its items have no id' : 'order and filter by id have no effect')
  else yield * pagesByStart<T>(list)
}

/** Order and filter may need the id's name in the other case. */
function namesToTry (key: string | undefined): string[] {
  return key === undefined ? [] : [key, key === key.toUpperCase() ? key.toLowerCase() : key.toUpperCase()]
}

/** Tries names of the id in order and filter until one works. */
async function findStart (list: List, cursors: string[], key: string | undefined, isFixed: boolean): Promise<Start | undefined> {
  for (const cursor of cursors) {
    try {
      const started = await tryCursor(list, cursor, key)
      if (started !== undefined) return started
    } catch (error) {
      // Some methods reject an unknown field.
      const isRefused = (error as { code?: unknown }).code === 'FST_B24_PORTAL_CALL'
      if (!isRefused || (isFixed && cursor === cursors.at(-1))) throw error
    }
  }
  return undefined
}

async function tryCursor (list: List, cursor: string, given: string | undefined): Promise<Start | undefined> {
  const first = await list.page(list.placeOf(cursor))
  const key = given ?? first.idName ?? 'id'
  const started = { cursor, key, first, second: undefined }
  if (first.isLast) return started
  const last = lastOf(list, first, key)
  if (last === undefined) return undefined
  const second = await list.page(list.placeOf(cursor, last))
  const isNext = second.rows.length === 0 || lastOf(list, second, key, last) !== undefined
  return isNext ? { ...started, second } : undefined
}

async function * continueFrom<T> (list: List, { cursor, key, first, second }: Start): AsyncGenerator<T[], void, undefined> {
  if (first.rows.length > 0) yield first.rows as T[]
  let page = second
  while (page !== undefined && page.rows.length > 0) {
    yield page.rows as T[]
    if (page.isLast) return
    const last = list.idsOf(page.rows, key).at(-1) as number
    page = await list.page(list.placeOf(cursor, last))
    if (page.rows.length > 0 && lastOf(list, page, key, last) === undefined) throw list.error(`its pages are not ordered by '${cursor}'`)
  }
}

/** Returns the last id if the page's ids ascend from above `above`, else `undefined`. */
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
 * Iterates by `start`, following `next` and `total`. A method that returns neither, and the same page for another `start`, has no pagination: its
 * first page is everything.
 *
 * @throws FST_B24_LIST for a repeated page, and for a list that ends before `total`
 */
async function * pagesByStart<T> (list: List): AsyncGenerator<T[], void, undefined> {
  const seen = new Set<string>()
  let [start, count, isGuess] = [0, 0, false]
  for (;;) {
    const page = await list.page({ start })
    if (page.rows.length === 0) {
      if ((page.total ?? 0) > count) throw list.error(`it ended after ${count} of ${page.total} items`)
      return
    }
    const digest = createHash('sha1').update(JSON.stringify(page.rows)).digest('base64')
    if (seen.has(digest)) {
      if (isGuess && !list.hasPagination && !page.hasMore) return
      throw list.error('it returned the same page again')
    }
    seen.add(digest)
    count += page.rows.length
    yield page.rows as T[]
    const { next, total = 0 } = page
    if (next !== undefined && next <= start) throw list.error(`its next page starts at ${next}, not after ${start}`)
    if (next === undefined && (total > 0 ? count >= total : page.isLast)) return
    isGuess = next === undefined && total === 0
    start = next ?? count
  }
}
