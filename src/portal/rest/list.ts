import { FST_B24_LIST } from '../../errors.ts'
import { isObject } from '../../validation.ts'

export type FetchPage = (params: object) => Promise<{ result: unknown, total?: number | undefined, next?: number | undefined }>

export type Row = Record<string, unknown>

export interface ListPage {
  rows: Row[]
  total: number | undefined
  next: number | undefined
  /** Nothing indicates more, and the page is not full; or it exceeds the page size, so the method returned everything at once. */
  isLast: boolean
  /** The portal indicates more pages. */
  hasMore: boolean
  /** Name of the id field in the items. */
  idName: string | undefined
}

/** Page size of most methods. */
const PAGE_SIZE = 50
/** Parameter names for the page size. */
const LIMIT_NAME = /^(limit|n?page_?size|count)$/i
const MAX_LEVELS = 4
const HAS_MORE = /^has_?(more|next)/i
/** Methods that take `sort` and `order` as strings. */
const STRING_SORT = /^user\.(get|search)$/i

/** A list method: builds its page requests and parses its pages. */
export class List {
  readonly params: object
  /** Names of the parameters that determine the order. */
  readonly orderNames: readonly string[]
  /** Equal pages do not prove that the method has no pagination: it is known to have it, or selected fields make items look alike. */
  readonly hasPagination: boolean
  readonly #fetch: FetchPage
  readonly #method: string
  /** Row counts of a full page: fewer rows end the list, more mean that the method returned everything at once. */
  readonly #pageSize: { least: number, most: number }
  readonly #sortsByText: boolean

  constructor (fetchPage: FetchPage, method: string, params: object) {
    this.#fetch = fetchPage
    this.#method = method
    this.params = params
    this.#sortsByText = STRING_SORT.test(method)
    this.orderNames = this.#sortsByText ? ['order', 'sort'] : ['order']
    this.hasPagination = isPositional(method, params) || nameOf(params, 'select') !== undefined
    const limit = limitIn(params) ?? PAGE_SIZE
    this.#pageSize = { least: Math.min(PAGE_SIZE, limit), most: Math.max(PAGE_SIZE, limit) }
  }

  error (why: string): Error {
    return new FST_B24_LIST(this.#method, why)
  }

  /** Fetches the page at `place`. */
  async page (place: object): Promise<ListPage> {
    const { result, total, next } = await this.#fetch({ ...this.params, ...place })
    const rows = this.#rowsOf(result)
    const hasMore = next !== undefined || (total ?? 0) > rows.length || indicatesMore(result)
    const isFullPage = rows.length >= this.#pageSize.least && rows.length <= this.#pageSize.most
    return { rows, total, next, hasMore, isLast: rows.length === 0 || !(hasMore || isFullPage), idName: rows[0] && nameOf(rows[0], 'id') }
  }

  /** Returns the parameters of the page after an id, or of the first page. */
  placeOf (cursor: string, last?: number): object {
    const name = nameOf(this.params, 'filter') ?? 'filter'
    const given = (this.params as Row)[name] ?? {}
    if (typeof given !== 'object') throw this.error(`its '${name}' is neither an object nor an array`)
    const own = Object.entries(given).filter(([key]) => last === undefined || key.toLowerCase() !== `>${cursor.toLowerCase()}`)
    const filter = { ...Object.fromEntries(own), ...(last !== undefined && { [`>${cursor}`]: last }) }
    const order = this.#sortsByText ? { sort: cursor, order: 'ASC' } : { order: { [cursor]: 'ASC' } }
    return { ...order, [name]: filter, start: -1 }
  }

  /** Parses the ids of items, numbers or digits; returns none if any item lacks one. */
  idsOf (rows: readonly Row[], key: string): number[] {
    const texts = rows.map(row => typeof row[key] === 'number' || typeof row[key] === 'string' ? String(row[key]) : '')
    return texts.every(text => /^\d{1,15}$/.test(text)) ? texts.map(Number) : []
  }

  #rowsOf (result: unknown): Row[] {
    const rows = rowsIn(result)
    if (rows === undefined || !rows.every(isRow)) throw this.error('the result is not a list of items and does not contain exactly one')
    return rows
  }
}

/** Returns whether the method takes positional parameters, so that none can be added. */
export function isPositional (method: string, params: object): boolean {
  return Array.isArray(params) || /^task\./i.test(method)
}

/** Finds a defined property by case-insensitive name. */
export function nameOf (map: object, name: string): string | undefined {
  return Object.entries(map).find(([key, value]) => key.toLowerCase() === name && value !== undefined)?.[0]
}

/** Finds the rows: the result itself, or the only list in it. */
function rowsIn (result: unknown): unknown[] | undefined {
  const whole = listIn(result)
  if (whole !== undefined || !isObject(result)) return whole
  const lists = Object.values(result).map(listIn).filter(list => list !== undefined)
  return lists.length === 1 ? lists[0] : undefined
}

/** PHP writes a list with gaps as an object with numeric keys. */
function listIn (value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value
  const names = isObject(value) ? Object.keys(value) : []
  return names.length > 0 && names.every(name => /^\d+$/.test(name)) ? Object.values(value as object) : undefined
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

function indicatesMore (result: unknown): boolean {
  return isObject(result) && Object.entries(result).some(([name, value]) => HAS_MORE.test(name) && value === true)
}

/** Finds the requested page size. */
function limitIn (params: unknown, level = 0): number | undefined {
  if (typeof params !== 'object' || params === null || level > MAX_LEVELS) return undefined
  for (const [name, value] of Object.entries(params)) {
    const limit = LIMIT_NAME.test(name) && /^\d{1,6}$/.test(String(value)) ? Number(value) : limitIn(value, level + 1)
    if (limit !== undefined && limit > 0) return limit
  }
  return undefined
}
