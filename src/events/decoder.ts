import type { TSchema } from 'typebox'
import { decodeBoolean, decodeFalse, decodeInteger, decodeNumber, decodeString } from './scalars.ts'
import { isObject } from '../is-object.ts'
import { copyTree, misfit, put, type Tally, type Tree } from './tree.ts'

/** Takes a value of the wire to its documented type. `undefined` says that nothing was sent. */
export type Decode = (value: unknown, tally: Tally) => unknown

/** The words of JSON Schema that the tables use. */
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

/** The decoder of a schema, compiled at its first use. */
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
  return (value, tally) => {
    for (const member of members) {
      const attempt = { misfits: 0 }
      const decoded = member(value, attempt)
      if (attempt.misfits === 0) return decoded
    }
    return misfit(value, tally)
  }
}

interface Field {
  decode: Decode
  /** Writings of "nothing" besides null: an empty string for what is no string, the word `undefined`. */
  nothing: string | undefined
}

function fieldsOf ({ properties = {}, required = [] }: Schema): Map<string, Field> {
  return new Map(Object.entries(properties).map(([key, schema]) => {
    const { type, wireUndefined }: Schema = schema
    const empty = type !== 'string' && !required.includes(key) ? '' : undefined
    return [key, { decode: decoderOf(schema), nothing: wireUndefined ? 'undefined' : empty }]
  }))
}

/** Undocumented keys stay; an empty list is what PHP makes of an empty map. */
function objectOf (schema: Schema): Decode {
  const fields = fieldsOf(schema)
  return (value, tally) => {
    if (!isObject(value)) return isEmptyList(value) ? undefined : misfit(value, tally)
    const object: Tree = {}
    for (const key of Object.keys(value)) {
      const field = fields.get(key)
      const item = value[key]
      if (field === undefined) put(object, key, copyTree(item, tally))
      else if (item !== null && item !== field.nothing) {
        const decoded = field.decode(item, tally)
        if (decoded !== undefined) put(object, key, decoded)
      }
    }
    return object
  }
}

/** A map whose keys happen to be 0, 1, 2… came as a list. */
function mapOf ({ patternProperties = {} }: Schema): Decode {
  const [item = {}] = Object.values(patternProperties)
  const decode = decoderOf(item)
  return (value, tally) => {
    if (isEmptyList(value)) return undefined
    if (typeof value !== 'object' || value === null) return misfit(value, tally)
    const map: Tree = {}
    for (const key of Object.keys(value)) put(map, key, decode((value as Tree)[key], tally))
    return map
  }
}

const INDEX = /^(?:0|[1-9][0-9]*)$/

/** A list with gaps came as a map. */
function listOf ({ items = {}, loneItem }: Schema): Decode {
  const decode = decoderOf(items)
  return (value, tally) => {
    if (Array.isArray(value)) return value.map(item => decode(item, tally))
    if (isObject(value) && Object.keys(value).every(key => INDEX.test(key))) {
      return Object.values(value).map(item => decode(item, tally))
    }
    return loneItem === true && value !== null ? [decode(value, tally)] : misfit(value, tally)
  }
}

function decodeNothing (value: unknown, tally: Tally): unknown {
  return value === '' || isEmptyList(value) ? undefined : misfit(value, tally)
}

function isEmptyList (value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}
