import { types } from 'node:util'
import { FST_B24_INVALID_CALL } from '../../errors.ts'

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
