import type { TSchema } from 'typebox'
import { isObject } from '../validation.ts'
import { hasSecretInText, isSecret } from '../wire/redact.ts'
import type { EventDefinition } from './catalogue/definition.ts'

/**
 * Converts `data` from the wire, where all scalars may be strings, to its documented types. Values of another type are kept as sent
 * and counted in `mismatches`. Without a definition everything is kept as sent. A documented map that was not sent becomes an empty
 * one, so that handlers can destructure it.
 *
 * Secrets in the data (tokens of bots) can be read by name, but are not enumerable.
 */
export function decodeData (definition: EventDefinition | undefined, wire: unknown): { data: unknown, mismatches: number } {
  const counter = { mismatches: 0 }
  if (definition === undefined) return { data: copyTree(wire, counter), mismatches: counter.mismatches }
  const isMap = 'properties' in definition.data
  const data = wire === undefined || wire === null ? undefined : decoderOf(definition.data)(wire, counter)
  return { data: data === undefined && isMap ? {} : data, mismatches: counter.mismatches }
}

/** Converts a value from the wire to its documented type. Returns `undefined` if nothing was sent. */
export type Decode = (value: unknown, counter: MismatchCounter) => unknown

/** Keywords of JSON Schema that the catalogue uses. */
interface Schema {
  type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object' | 'undefined'
  anyOf?: TSchema[]
  const?: false
  items?: TSchema
  properties?: Record<string, TSchema>
  patternProperties?: Record<string, TSchema>
  required?: string[]
  loneItem?: true
  wireUndefined?: true
}

const decoders = new WeakMap<TSchema, Decode>()

/** Returns the decoder of a schema, compiled at its first use. */
export function decoderOf (schema: TSchema): Decode {
  let decode = decoders.get(schema)
  if (decode === undefined) {
    decode = compile(schema)
    decoders.set(schema, decode)
  }
  return decode
}

function compile (schema: Schema): Decode {
  if (schema.anyOf !== undefined) return unionOf(schema.anyOf.map(decoderOf))
  switch (schema.type) {
    case 'string': return decodeString
    case 'integer': return decodeInteger
    case 'number': return decodeNumber
    case 'boolean': return schema.const === false ? decodeFalse : decodeBoolean
    case 'array': return listOf(schema)
    case 'object': return schema.properties === undefined ? mapOf(schema) : objectOf(schema)
    case 'undefined': return decodeNothing
    default: return copyTree
  }
}

function unionOf (members: Decode[]): Decode {
  return (value, counter) => {
    for (const member of members) {
      const attempt = { mismatches: 0 }
      const decoded = member(value, attempt)
      if (attempt.mismatches === 0) return decoded
    }
    return keepMismatch(value, counter)
  }
}

interface Field {
  decode: Decode
  /** Representation of "nothing" besides null: an empty string for types other than string, or the word `undefined`. */
  nothing: string | undefined
}

function fieldsOf ({ properties = {}, required = [] }: Schema): Map<string, Field> {
  return new Map(Object.entries(properties).map(([key, schema]) => {
    const { type, wireUndefined }: Schema = schema
    const empty = type !== 'string' && !required.includes(key) ? '' : undefined
    return [key, { decode: decoderOf(schema), nothing: wireUndefined ? 'undefined' : empty }]
  }))
}

/** Keeps undocumented keys. PHP writes an empty map as an empty list. */
function objectOf (schema: Schema): Decode {
  const fields = fieldsOf(schema)
  return (value, counter) => {
    if (!isObject(value)) return isEmptyList(value) ? undefined : keepMismatch(value, counter)
    const object: Tree = {}
    for (const key of Object.keys(value)) {
      const field = fields.get(key)
      const item = value[key]
      if (field === undefined) setProperty(object, key, copyTree(item, counter))
      else if (item !== null && item !== field.nothing) {
        const decoded = field.decode(item, counter)
        if (decoded !== undefined) setProperty(object, key, decoded)
      }
    }
    return object
  }
}

/** Accepts a list: PHP writes a map with the keys 0, 1, 2… as one. */
function mapOf ({ patternProperties = {} }: Schema): Decode {
  const [item = {}] = Object.values(patternProperties)
  const decode = decoderOf(item)
  return (value, counter) => {
    if (isEmptyList(value)) return undefined
    if (typeof value !== 'object' || value === null) return keepMismatch(value, counter)
    const map: Tree = {}
    for (const key of Object.keys(value)) setProperty(map, key, decode((value as Tree)[key], counter))
    return map
  }
}

const INDEX = /^(?:0|[1-9][0-9]*)$/

/** Accepts a map: PHP writes a list with gaps as one. */
function listOf ({ items = {}, loneItem }: Schema): Decode {
  const decode = decoderOf(items)
  return (value, counter) => {
    if (Array.isArray(value)) return value.map(item => decode(item, counter))
    if (isObject(value) && Object.keys(value).every(key => INDEX.test(key))) {
      return Object.values(value).map(item => decode(item, counter))
    }
    return loneItem === true && value !== null ? [decode(value, counter)] : keepMismatch(value, counter)
  }
}

function decodeNothing (value: unknown, counter: MismatchCounter): unknown {
  return value === '' || isEmptyList(value) ? undefined : keepMismatch(value, counter)
}

function isEmptyList (value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** Converts JSON numbers where a string is documented, as a form would have sent it. */
export function decodeString (value: unknown, counter: MismatchCounter): unknown {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : keepMismatch(value, counter)
}

/** Accepts only canonical integers: `007`, `1e3` and unsafe integers stay strings. */
export function decodeInteger (value: unknown, counter: MismatchCounter): unknown {
  const number = typeof value === 'string' ? Number(value) : value
  if (!Number.isSafeInteger(number)) return keepMismatch(value, counter)
  return typeof value !== 'string' || String(number) === value ? number : keepMismatch(value, counter)
}

const DOUBLE = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

export function decodeNumber (value: unknown, counter: MismatchCounter): unknown {
  if (typeof value === 'number') return value
  return typeof value === 'string' && DOUBLE.test(value) ? Number(value) : keepMismatch(value, counter)
}

const BOOLEANS = new Map<unknown, boolean>([
  [true, true], ['1', true], [1, true], ['true', true], ['Y', true],
  [false, false], ['0', false], [0, false], ['false', false], ['N', false]
])

export function decodeBoolean (value: unknown, counter: MismatchCounter): unknown {
  return BOOLEANS.get(value) ?? keepMismatch(value, counter)
}

export function decodeFalse (value: unknown, counter: MismatchCounter): unknown {
  return BOOLEANS.get(value) === false ? false : keepMismatch(value, counter)
}

/** Counts values that do not match their documented type. */
export interface MismatchCounter { mismatches: number }

export type Tree = Record<string, unknown>

/** Twice the limit of `wire/`. Deeper values are omitted: no event has them. */
const MAX_DEPTH = 32

/**
 * Sets a key. A secret, or a URL with one, can be read by name but is not enumerable: loggers, `JSON.stringify` and spread skip it.
 * `__proto__` is omitted, since it would change the prototype.
 */
export function setProperty (target: Tree, key: string, value: unknown): void {
  if (isSecret(key, value) || hasSecretInText(value)) Object.defineProperty(target, key, { value, enumerable: false, writable: true, configurable: true })
  else if (key !== '__proto__') target[key] = value
}

/** Copies a value without a documented type into plain objects, with its secrets hidden. */
export function copyTree (value: unknown, counter: MismatchCounter, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth === MAX_DEPTH) {
    counter.mismatches++
    return undefined
  }
  if (Array.isArray(value)) return value.map(item => copyTree(item, counter, depth + 1))
  const copy: Tree = {}
  for (const key of Object.keys(value)) setProperty(copy, key, copyTree((value as Tree)[key], counter, depth + 1))
  return copy
}

/** Keeps a mismatching value as sent, and counts it. */
export function keepMismatch (value: unknown, counter: MismatchCounter): unknown {
  counter.mismatches++
  return copyTree(value, counter)
}
