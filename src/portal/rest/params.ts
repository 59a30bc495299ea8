import { types } from 'node:util'
import { FST_B24_INVALID_CALL } from '../../errors.ts'

/** Deeper than any method reads, and less than PHP takes; a circular reference has no end. */
const MOST_LEVELS = 32
/** `max_input_vars` of PHP, which cuts off what is beyond without a word. */
const MOST_VARIABLES = 1_000
const LONGEST_NAME = 100
const LONE_SURROGATE = /\p{Surrogate}/gu

/**
 * Copies the parameters of a call as text, numbers, booleans, null, lists and maps. What is `undefined` in a map is left out, a bigint is sent as
 * its digits, and what has a `toJSON` (a Date) as what that gives.
 *
 * @throws FST_B24_INVALID_CALL for what JSON would change or drop: NaN, `undefined` in a list, a function, a Buffer, a Map, a circular reference
 */
export function copyParams (method: string, params: unknown = {}): object {
  const copied = typeof params === 'object' && params !== null && !isOpaque(params) ? copyObject(params, { method, path: [] }) : undefined
  if (typeof copied !== 'object' || copied === null) throw new FST_B24_INVALID_CALL(`${method}: its parameters are neither a map nor a list`)
  return copied
}

/**
 * Writes parameters as a query string, as PHP's `parse_str` reads them; with booleans as `Y` and `N`, which methods read as they read
 * booleans. A query string has no null and no empty list: empty maps and lists at the top are left out, which is the same to a method.
 *
 * @throws FST_B24_INVALID_CALL for a null, an empty map or list further inside, a name that PHP would change, and more than 1000 values
 */
export function encodeQuery (method: string, params: object): string {
  const pairs: string[] = []
  const place = { method, path: [] }
  // What is left out of a list would shift what comes after it.
  const given = Array.isArray(params) ? Object.entries(params) : Object.entries(params).filter(([, value]) => !isEmpty(value))
  for (const [name, value] of given) encode(value, at(place, name), pairs)
  if (pairs.length > MOST_VARIABLES) throw new FST_B24_INVALID_CALL(`${method}: more than ${MOST_VARIABLES} values, which is all that a portal reads of one call of a batch`)
  return pairs.join('&')
}

/** Where a value stands, for the message. */
interface Place {
  method: string
  path: readonly string[]
}

function at ({ method, path }: Place, name: string): Place {
  return { method, path: [...path, name] }
}

function refusal ({ method, path: [first = '', ...rest] }: Place, problem: string): Error {
  const name = `${first}${rest.map(key => `[${key}]`).join('')}`.slice(0, LONGEST_NAME)
  return new FST_B24_INVALID_CALL(`${method}: parameter '${name}' ${problem}`)
}

function copy (value: unknown, place: Place): unknown {
  switch (typeof value) {
    case 'string': return value.replace(LONE_SURROGATE, '\uFFFD')
    case 'boolean': return value
    case 'bigint': return String(value)
    case 'number': {
      if (!Number.isFinite(value)) throw refusal(place, `is ${value}`)
      return value
    }
    case 'object': return value === null ? null : copyObject(value, place)
    default: throw refusal(place, `is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`)
  }
}

function copyObject (value: object, place: Place): unknown {
  if (place.path.length > MOST_LEVELS) throw refusal(place, `is more than ${MOST_LEVELS} levels deep, or circular`)
  if (isOpaque(value)) throw refusal(place, `is a ${value.constructor?.name ?? 'value'}, which JSON does not have`)
  if (types.isDate(value) && Number.isNaN(value.getTime())) throw refusal(place, 'is an invalid date')
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON !== 'function') return copyCollection(value, place)
  const plain = (value as { toJSON: (key: string) => unknown }).toJSON(place.path.at(-1) ?? '')
  return plain === value ? copyCollection(value, place) : copy(plain, at(place, 'toJSON()'))
}

function copyCollection (value: object, place: Place): unknown {
  if (Array.isArray(value)) return Array.from(value, (item: unknown, index) => copy(item, at(place, String(index))))
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined).map(([name, item]) => [name, copy(item, at(place, name))]))
}

/** Tells what JSON writes as a map although it is none: a Map as `{}`, a Buffer as a list of its bytes. */
function isOpaque (value: object): boolean {
  return !Array.isArray(value) && !types.isDate(value) && Object.prototype.toString.call(value) !== '[object Object]' && !hasOwnTag(value)
}

/** A class may call itself something and still be made of its properties, or have a `toJSON`. */
function hasOwnTag (value: object): boolean {
  return Symbol.toStringTag in value && !ArrayBuffer.isView(value) && typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

function encode (value: unknown, place: Place, pairs: string[]): void {
  checkName(place)
  if (value === null) throw refusal(place, "is null, which a batch cannot say: leave it out, or send ''")
  if (typeof value === 'object') {
    if (isEmpty(value)) throw refusal(place, 'is empty, which a batch cannot say: leave it out, or make a call of its own')
    for (const [name, item] of Object.entries(value)) encode(item, at(place, name), pairs)
    return
  }
  const [first = '', ...rest] = place.path.map(encodeURIComponent)
  const text = typeof value === 'boolean' ? (value ? 'Y' : 'N') : String(value)
  pairs.push(`${first}${rest.map(name => `%5B${name}%5D`).join('')}=${encodeURIComponent(text)}`)
}

/** PHP reads brackets in a name as levels, and writes `_` for what its variables cannot be called. */
function checkName (place: Place): void {
  const name = place.path.at(-1) as string
  const isTop = place.path.length === 1
  if (name === '' || /[[\]\0]|^\s/.test(name) || (isTop && /[. ]/.test(name))) throw refusal(place, 'has a name that a batch cannot say')
}

function isEmpty (value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}
