import { FST_B24_LIST } from '../../errors.ts'
import { isObject } from '../../validation.ts'

/** Asks a portal for one page. */
export type FetchPage = (params: object) => Promise<{ result: unknown, total?: number | undefined, next?: number | undefined }>

export type Row = Record<string, unknown>

/** One page of a list. */
export interface ListPage {
  rows: Row[]
  total: number | undefined
  next: number | undefined
  /** Nothing says that there is more, and there are not as many items as make a page full; or more than that, which is all at once. */
  isLast: boolean
  /** The portal says that there is more. */
  hasMore: boolean
  /** Name of the id in the items. */
  idName: string | undefined
}

/** Items of a page, in most of Bitrix24. */
const PAGE_SIZE = 50
/** Names under which methods take the size of a page. */
const LIMIT = /^(limit|n?page_?size|count)$/i
const MAX_LEVELS = 4
const HAS_MORE = /^has_?(more|next)/i
/** Methods that take `sort` and `order` as text. */
const SORTS_BY_TEXT = /^user\.(get|search)$/i

/** A list of a portal: how it is asked for, and what its answers mean. */
export class List {
  readonly params: object
  /** Names of the parameters that would change the order. */
  readonly orderNames: readonly string[]
  /** Pages that are the same are then no sign of a list without pages: the method is known to have some, or its items may look alike. */
  readonly isKnownToPage: boolean
  readonly #ask: FetchPage
  readonly #method: string
  /** Items from which on a page may be full, and beyond which it is all at once. */
  readonly #full: { least: number, most: number }
  readonly #sortsByText: boolean

  constructor (ask: FetchPage, method: string, params: object) {
    this.#ask = ask
    this.#method = method
    this.params = params
    this.#sortsByText = SORTS_BY_TEXT.test(method)
    this.orderNames = this.#sortsByText ? ['order', 'sort'] : ['order']
    this.isKnownToPage = isPositional(method, params) || nameOf(params, 'select') !== undefined
    const limit = limitIn(params) ?? PAGE_SIZE
    this.#full = { least: Math.min(PAGE_SIZE, limit), most: Math.max(PAGE_SIZE, limit) }
  }

  error (why: string): Error {
    return new FST_B24_LIST(this.#method, why)
  }

  /** Asks for a page; `place` says which. */
  async page (place: object): Promise<ListPage> {
    const { result, total, next } = await this.#ask({ ...this.params, ...place })
    const rows = this.#rowsOf(result)
    const hasMore = next !== undefined || (total ?? 0) > rows.length || saysMore(result)
    const isPart = rows.length >= this.#full.least && rows.length <= this.#full.most
    return { rows, total, next, hasMore, isLast: rows.length === 0 || !(hasMore || isPart), idName: rows[0] && nameOf(rows[0], 'id') }
  }

  /** The parameters of the page behind an id, or of the first. */
  placeOf (cursor: string, last?: number): object {
    const name = nameOf(this.params, 'filter') ?? 'filter'
    const given = (this.params as Row)[name] ?? {}
    if (typeof given !== 'object') throw this.error(`its '${name}' is neither a map nor a list`)
    const own = Object.entries(given).filter(([key]) => last === undefined || key.toLowerCase() !== `>${cursor.toLowerCase()}`)
    const filter = { ...Object.fromEntries(own), ...(last !== undefined && { [`>${cursor}`]: last }) }
    const order = this.#sortsByText ? { sort: cursor, order: 'ASC' } : { order: { [cursor]: 'ASC' } }
    return { ...order, [name]: filter, start: -1 }
  }

  /** The ids of items, which come as numbers or as their digits; none where one has no such id. */
  idsOf (rows: readonly Row[], key: string): number[] {
    const texts = rows.map(row => typeof row[key] === 'number' || typeof row[key] === 'string' ? String(row[key]) : '')
    return texts.every(text => /^\d{1,15}$/.test(text)) ? texts.map(Number) : []
  }

  #rowsOf (result: unknown): Row[] {
    const rows = rowsIn(result)
    if (rows === undefined || !rows.every(isRow)) throw this.error('the result is not a list of items, and does not have exactly one')
    return rows
  }
}

/** Whether the method goes by the order of its parameters, of which none can be added. */
export function isPositional (method: string, params: object): boolean {
  return Array.isArray(params) || /^task\./i.test(method)
}

/** Name of a property that is set, whatever its case. */
export function nameOf (map: object, name: string): string | undefined {
  return Object.entries(map).find(([key, value]) => key.toLowerCase() === name && value !== undefined)?.[0]
}

/** The result may be the list, or have it as its only one. */
function rowsIn (result: unknown): unknown[] | undefined {
  const whole = listIn(result)
  if (whole !== undefined || !isObject(result)) return whole
  const lists = Object.values(result).map(listIn).filter(list => list !== undefined)
  return lists.length === 1 ? lists[0] : undefined
}

/** PHP writes a list that has gaps as a map by numbers. */
function listIn (value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value
  const names = isObject(value) ? Object.keys(value) : []
  return names.length > 0 && names.every(name => /^\d+$/.test(name)) ? Object.values(value as object) : undefined
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

function saysMore (result: unknown): boolean {
  return isObject(result) && Object.entries(result).some(([name, value]) => HAS_MORE.test(name) && value === true)
}

/** The size of a page that is asked for. */
function limitIn (params: unknown, level = 0): number | undefined {
  if (typeof params !== 'object' || params === null || level > MAX_LEVELS) return undefined
  for (const [name, value] of Object.entries(params)) {
    const limit = LIMIT.test(name) && /^\d{1,6}$/.test(String(value)) ? Number(value) : limitIn(value, level + 1)
    if (limit !== undefined && limit > 0) return limit
  }
  return undefined
}
