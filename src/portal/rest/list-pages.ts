import { FST_B24_LIST } from '../../errors.ts'

export interface WalkOptions {
  /** Name of the id in the items. @default `id` or `ID`, whichever the first item has */
  idKey?: string | undefined
  /**
   * Name of the id in filter and order. With this or `idKey`, a list of more than one page takes one call less.
   * @default that of the id in the items
   */
  cursorIdKey?: string | undefined
}

/** Asks a portal for the `result` of one page. */
export type AskPage = (params: object) => Promise<unknown>

type Row = Record<string, unknown>

/** Items of a page, in all of Bitrix24. */
const FULL = 50

/**
 * Walks through a list by the ids of its items, without counting it: what comes or goes meanwhile shifts no page. Yields pages of 1 to 50
 * items; one that is not full is the last. `result` may be the list, or have it as its only one.
 *
 * The first page is asked for as it comes: what is full must be asked for anew, in the order of the id whose name it tells.
 *
 * @throws FST_B24_LIST for params that have an `order` or a `start`, and for an answer that cannot be walked on from: nothing is left out unsaid
 */
export async function * listPages<T> (ask: AskPage, method: string, params: object, { idKey, cursorIdKey }: WalkOptions = {}): AsyncGenerator<T[], void, undefined> {
  const filterKey = nameOf(params, 'filter') ?? 'filter'
  const filter = (params as Row)[filterKey] as object | undefined
  for (const name of ['order', 'start']) {
    if (nameOf(params, name) !== undefined) throw new FST_B24_LIST(method, `it goes by id, and has no '${name}'`)
  }
  let cursor = cursorIdKey ?? idKey
  let last: number | undefined
  for (;;) {
    const place = cursor === undefined ? {} : { order: { [cursor]: 'ASC' }, [filterKey]: { ...filter, ...(last !== undefined && { [`>${cursor}`]: last }) } }
    const items = itemsOf(await ask({ ...params, ...place, start: -1 }), method)
    const [first] = items
    if (first === undefined) return
    const key = idKey ?? nameOf(first, 'id') ?? 'id'
    const ids = items.map(item => idOf(item, key, method))
    const isFull = ids.length >= FULL
    if (isFull && cursor === undefined) {
      cursor = key
      continue
    }
    for (const id of cursor === undefined ? [] : ids) {
      if (last !== undefined && id <= last) throw new FST_B24_LIST(method, `its pages do not come in the order of '${cursor}'`)
      last = id
    }
    yield items as T[]
    if (!isFull) return
  }
}

/** Name of a property that is set, whatever its case. */
function nameOf (map: object, name: string): string | undefined {
  return Object.entries(map).find(([key, value]) => key.toLowerCase() === name && value !== undefined)?.[0]
}

function itemsOf (result: unknown, method: string): Row[] {
  const lists = Array.isArray(result) ? [result] : Object.values(result ?? {}).filter(Array.isArray)
  const [items] = lists
  if (items === undefined || lists.length !== 1 || !items.every(isRow)) throw new FST_B24_LIST(method, 'the result is no list of items, and has not one either')
  return items
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

/** Ids come as numbers or as their digits. */
function idOf (item: Row, key: string, method: string): number {
  const id = item[key]
  if (!/^\d{1,15}$/.test(typeof id === 'number' ? String(id) : typeof id === 'string' ? id : '')) throw new FST_B24_LIST(method, `its items have no number as '${key}'`)
  return Number(id)
}
