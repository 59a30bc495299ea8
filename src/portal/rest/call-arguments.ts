import { types } from 'node:util'
import { FST_B24_INVALID_CALL } from '../../errors.ts'
import { MAX_BYTES_LIMIT } from './read-response.ts'
import { didYouMean, isIntegerIn, isText } from '../../validation.ts'

export interface RequestOptions {
  /** Aborts the call, which rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /**
   * Deadline for the whole call, including rate-limit waits and a token refresh, in milliseconds. Rejects with FST_B24_PORTAL_UNAVAILABLE.
   * @default 65000
   */
  timeoutMs?: number | undefined
  /** Maximum response size in bytes after decompression, up to 8 MB. @default 1048576; 65536 for methods with short responses */
  maxBytes?: number | undefined
}

export interface CallOptions extends RequestOptions {
  /**
   * REST API version. Version 3 (`/rest/api/`) has its own methods.
   * @default 2
   * @see https://apidocs.bitrix24.com/api-reference/rest-v3.html
   */
  version?: 2 | 3 | undefined
  /**
   * Makes retries of a write safe for 24 hours: the portal runs it once and repeats its response. 1 to 255 printable ASCII characters, such as
   * `event.id`. REST 3 only.
   */
  idempotencyKey?: string | undefined
}

export interface BatchOptions extends RequestOptions {
  /** Whether to skip the remaining calls after the first failure. @default true */
  halt?: boolean | undefined
  /** REST API version. A batch of version 3 is atomic and has no `halt`. @default 2 */
  version?: 2 | 3 | undefined
}

export interface ListOptions extends RequestOptions {
  /**
   * Pagination by item id, which is stable under changes and skips the count; or by `start` offset, for methods that cannot filter or order by id.
   * With `start`, a list that changes meanwhile may repeat or miss items.
   * @default by id, falling back to `start` where a method does not support it
   */
  paging?: 'id' | 'start' | undefined
  /** Name of the id field in the items. @default `id` or `ID`, whichever the first item has */
  idKey?: string | undefined
  /**
   * Name of the id field in filter and order. With this or `idKey`, a list of several pages takes one call less.
   * @default the name in the items, then the same in the other case
   */
  cursorIdKey?: string | undefined
}

/** Bitrix24 aborts a request after 60 s. */
export const CALL_TIMEOUT_MS = 65_000
/** Maximum delay of a Node.js timer. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1
/** Matches every existing method, and nothing that would change the URL of a call. */
const METHOD = /^\w+(?:[.-]\w+)*$/
const MAX_METHOD_LENGTH = 200
const MAX_QUOTE_LENGTH = 60

type Check = [isValid: (value: unknown) => boolean, wanted: string]

const CHECKS: Record<string, Check> = {
  signal: [isSignal, 'an AbortSignal'],
  timeoutMs: [value => isIntegerIn(value, 1, MAX_TIMEOUT_MS), 'a whole number of ms, at least 1'],
  maxBytes: [value => isIntegerIn(value, 1, MAX_BYTES_LIMIT), `a whole number of bytes from 1 to ${MAX_BYTES_LIMIT}`],
  version: [value => value === 2 || value === 3, '2 or 3'],
  idempotencyKey: [value => typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value), '1 to 255 printable ASCII characters'],
  halt: [value => typeof value === 'boolean', 'true or false'],
  paging: [value => value === 'id' || value === 'start', "'id' or 'start'"],
  idKey: [isText, 'a name'],
  cursorIdKey: [isText, 'a name']
}

const REQUEST_OPTIONS = ['signal', 'timeoutMs', 'maxBytes']
const OPTIONS = {
  call: [...REQUEST_OPTIONS, 'version', 'idempotencyKey'],
  batch: [...REQUEST_OPTIONS, 'halt', 'version'],
  list: [...REQUEST_OPTIONS, 'paging', 'idKey', 'cursorIdKey']
}

/** @throws FST_B24_INVALID_CALL for anything that would change the URL or its query */
export function checkMethod (method: unknown): asserts method is string {
  if (typeof method !== 'string' || method.length > MAX_METHOD_LENGTH || !METHOD.test(method)) throw new FST_B24_INVALID_CALL(`${quote(method)} is not a method name`)
}

/** @throws FST_B24_INVALID_CALL for options that are unknown, invalid or conflicting */
export function checkCallOptions (owner: keyof typeof OPTIONS, options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new FST_B24_INVALID_CALL(`options of ${owner} must be an object, not ${quote(options)}`)
  for (const [name, value] of Object.entries(options)) {
    if (!OPTIONS[owner].includes(name)) throw new FST_B24_INVALID_CALL(`${owner} has no option '${name.slice(0, MAX_QUOTE_LENGTH)}'${didYouMean(name, OPTIONS[owner])}`)
    const [isValid, wanted] = CHECKS[name] as Check
    if (value !== undefined && !isValid(value)) throw new FST_B24_INVALID_CALL(`option '${name}' of ${owner} must be ${wanted}`)
  }
  const { version, idempotencyKey, halt, paging, idKey, cursorIdKey } = options as CallOptions & BatchOptions & ListOptions
  if (idempotencyKey !== undefined && version !== 3) throw new FST_B24_INVALID_CALL("option 'idempotencyKey' requires version: 3")
  if (halt !== undefined && version === 3) throw new FST_B24_INVALID_CALL("option 'halt' is not supported by version 3, whose batches are atomic")
  if (paging === 'start' && (idKey ?? cursorIdKey) !== undefined) throw new FST_B24_INVALID_CALL("options 'idKey' and 'cursorIdKey' require paging by id")
}

function isSignal (value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value
}

function quote (value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, MAX_QUOTE_LENGTH)}'` : value === null ? 'null' : `of type ${typeof value}`
}

/** More than any method reads, and fewer than PHP accepts; also ends circular references. */
const MAX_LEVELS = 32
/** PHP's `max_input_vars`, beyond which it silently drops values. */
const MAX_VARIABLES = 1_000
const MAX_NAME_LENGTH = 100
const LONE_SURROGATE = /\p{Surrogate}/gu

/**
 * Copies call parameters to plain JSON values. Omits `undefined` object properties, converts a bigint to its digits, and calls `toJSON` where
 * present (as on a Date).
 *
 * @throws FST_B24_INVALID_CALL for values that JSON would change or drop: NaN, `undefined` in an array, a function, Buffer, Map or circular reference
 */
export function copyParams (method: string, params: unknown = {}): object {
  const copied = typeof params === 'object' && params !== null && !isOpaque(params) ? copyObject(params, { method, path: [] }) : undefined
  if (typeof copied !== 'object' || copied === null) throw new FST_B24_INVALID_CALL(`${method}: parameters must be an object or an array`)
  return copied
}

/**
 * Encodes parameters as a query string for PHP's `parse_str`, with booleans as `Y` and `N`. A query string cannot express null or empty values:
 * empty objects and arrays at the top level are omitted, which methods treat the same.
 *
 * @throws FST_B24_INVALID_CALL for null, nested empty objects or arrays, names that PHP would change, and more than 1000 values
 */
export function encodeQuery (method: string, params: object): string {
  const pairs: string[] = []
  const place = { method, path: [] }
  // Omitting an array item would shift those after it.
  const given = Array.isArray(params) ? Object.entries(params) : Object.entries(params).filter(([, value]) => !isEmpty(value))
  for (const [name, value] of given) encode(value, at(place, name), pairs)
  if (pairs.length > MAX_VARIABLES) throw new FST_B24_INVALID_CALL(`${method}: more than ${MAX_VARIABLES} values, the limit for one call of a batch`)
  return pairs.join('&')
}

/** Path of a value, for error messages. */
interface Place {
  method: string
  path: readonly string[]
}

function at ({ method, path }: Place, name: string): Place {
  return { method, path: [...path, name] }
}

function invalid ({ method, path: [first = '', ...rest] }: Place, problem: string): Error {
  const name = `${first}${rest.map(key => `[${key}]`).join('')}`.slice(0, MAX_NAME_LENGTH)
  return new FST_B24_INVALID_CALL(`${method}: parameter '${name}' ${problem}`)
}

function copy (value: unknown, place: Place): unknown {
  switch (typeof value) {
    case 'string': return value.replace(LONE_SURROGATE, '\uFFFD')
    case 'boolean': return value
    case 'bigint': return String(value)
    case 'number': {
      if (!Number.isFinite(value)) throw invalid(place, `is ${value}`)
      return value
    }
    case 'object': return value === null ? null : copyObject(value, place)
    default: throw invalid(place, `is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`)
  }
}

function copyObject (value: object, place: Place): unknown {
  if (place.path.length > MAX_LEVELS) throw invalid(place, `is more than ${MAX_LEVELS} levels deep, or circular`)
  if (isOpaque(value)) throw invalid(place, `is a ${value.constructor?.name ?? 'value'}, which JSON cannot represent`)
  if (types.isDate(value) && Number.isNaN(value.getTime())) throw invalid(place, 'is an invalid date')
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON !== 'function') return copyCollection(value, place)
  const plain = (value as { toJSON: (key: string) => unknown }).toJSON(place.path.at(-1) ?? '')
  return plain === value ? copyCollection(value, place) : copy(plain, at(place, 'toJSON()'))
}

function copyCollection (value: object, place: Place): unknown {
  if (Array.isArray(value)) return Array.from(value, (item: unknown, index) => copy(item, at(place, String(index))))
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined).map(([name, item]) => [name, copy(item, at(place, name))]))
}

/** Returns whether JSON would lose the value's content: a Map becomes `{}`, a Buffer a list of bytes. */
function isOpaque (value: object): boolean {
  return !Array.isArray(value) && !types.isDate(value) && Object.prototype.toString.call(value) !== '[object Object]' && !hasOwnTag(value)
}

/** A class with its own `Symbol.toStringTag` is fine if it has a `toJSON`. */
function hasOwnTag (value: object): boolean {
  return Symbol.toStringTag in value && !ArrayBuffer.isView(value) && typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

function encode (value: unknown, place: Place, pairs: string[]): void {
  checkName(place)
  if (value === null) throw invalid(place, "is null, which a batch cannot encode: omit it, or send ''")
  if (typeof value === 'object') {
    if (isEmpty(value)) throw invalid(place, 'is empty, which a batch cannot encode: omit it, or use call()')
    for (const [name, item] of Object.entries(value)) encode(item, at(place, name), pairs)
    return
  }
  const [first = '', ...rest] = place.path.map(encodeURIComponent)
  const text = typeof value === 'boolean' ? (value ? 'Y' : 'N') : String(value)
  pairs.push(`${first}${rest.map(name => `%5B${name}%5D`).join('')}=${encodeURIComponent(text)}`)
}

/** PHP parses brackets in a name as nesting, and replaces characters that variable names cannot have with `_`. */
function checkName (place: Place): void {
  const name = place.path.at(-1) as string
  const isTop = place.path.length === 1
  if (name === '' || /[[\]\0]|^\s/.test(name) || (isTop && /[. ]/.test(name))) throw invalid(place, 'has a name that a batch cannot encode')
}

function isEmpty (value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}
