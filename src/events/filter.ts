import type { TSchema } from 'typebox'
import { FST_B24_INVALID_HANDLER } from '../errors.ts'
import { didYouMean, isObject } from '../validation.ts'
import type { Tree } from './decode.ts'
import { baseCode, definitionOf } from './definitions.ts'
import type { EventData } from './event-map.ts'

type Scalar = string | number | boolean

/** A filter on data whose type is not known. */
export interface OpenFilter { readonly [key: string]: Scalar | readonly Scalar[] | OpenFilter }

type Subject<Data> = Data extends { FIELDS: infer Fields } ? Fields : Data
type FilterValue<Value> =
  unknown extends Value ? OpenFilter[string]
    : [Value] extends [Scalar] ? Value | readonly Value[]
        : Value extends Scalar ? Value
          : Value extends readonly unknown[] ? never
            : FilterOf<Value>
type FilterOf<Data> =
  unknown extends Data ? OpenFilter
    : Data extends object ? { readonly [Key in keyof Data]?: FilterValue<NonNullable<Data[Key]>> }
      : never

/**
 * Some keys of an event's data and the values to wait for, one or a list to choose from: `{ ENTITY_TYPE_ID: 1220 }`.
 * Keys are those of `data.FIELDS` where the event has it, else those of `data`.
 */
export type EventFilter<Event extends string> = Event extends string ? FilterOf<Subject<EventData<Event>>> : never

/** Tells whether decoded data has every value that the filter waits for. */
export function matchesFilter (filter: OpenFilter, data: unknown): boolean {
  if (!isObject(data)) return false
  return meets(filter, isObject(data['FIELDS']) ? data['FIELDS'] : data)
}

function meets (filter: OpenFilter, subject: Tree): boolean {
  return Object.entries(filter).every(([key, wanted]) => {
    const value = Object.hasOwn(subject, key) ? subject[key] : undefined
    if (Array.isArray(wanted)) return wanted.includes(value)
    return isObject(wanted) ? isObject(value) && meets(wanted as OpenFilter, value) : value === wanted
  })
}

/**
 * Takes what an app passed as a filter. `undefined` in it is refused: a variable that is not set must not become a filter
 * that lets everything through, or nothing.
 *
 * @throws FST_B24_INVALID_HANDLER
 */
export function checkFilter (filter: unknown): OpenFilter {
  if (!isObject(filter)) throw new FST_B24_INVALID_HANDLER('a handler must be a function, and a filter before it an object')
  for (const [key, value] of Object.entries(filter)) {
    if (Array.isArray(value) ? value.length > 0 && value.every(isScalar) : isScalar(value)) continue
    if (!isObject(value)) throw new FST_B24_INVALID_HANDLER(`the filter '${key}' must be a value or a list of values`)
    checkFilter(value)
  }
  return filter as OpenFilter
}

function isScalar (value: unknown): value is Scalar {
  return typeof value === 'string' || (typeof value === 'number' && !Number.isNaN(value)) || typeof value === 'boolean'
}

/** The words of JSON Schema that the tables use. */
interface Schema {
  type?: string
  anyOf?: TSchema[]
  const?: unknown
  properties?: Record<string, TSchema>
  /** Keys of the sender's choice come besides. */
  open?: true
}

/** Says why a filter can never match an event of this name or code; `undefined` where it can, or where nobody knows. */
export function filterProblem (event: string, filter: OpenFilter): string | undefined {
  const definition = definitionOf(event)
  if (definition === undefined) return optionsProblem(filter)
  const { FIELDS } = (definition.data as Schema).properties ?? {}
  return suffixProblem(event, filter) ?? mapProblem(filter, FIELDS ?? definition.data, FIELDS === undefined ? 'data' : 'data.FIELDS')
}

/** Options that stand where the filter does. */
function optionsProblem (filter: OpenFilter): string | undefined {
  return typeof filter['coalesce'] === 'boolean' ? "'coalesce' is an option: options stand after the handler" : undefined
}

/** `ONCRMDYNAMICITEMUPDATE_147` is about items of type 147 only. */
function suffixProblem (event: string, { ENTITY_TYPE_ID: types }: OpenFilter): string | undefined {
  const code = event.toUpperCase()
  const base = baseCode(code)
  if (base === code || types === undefined || isObject(types)) return undefined
  const type = Number(code.slice(base.length + 1))
  return [types].flat().includes(type) ? undefined : `ENTITY_TYPE_ID is always ${type} in ${code}`
}

function mapProblem (filter: OpenFilter, schema: Schema, path: string): string | undefined {
  const { properties } = schema
  if (properties === undefined) return isTyped(schema) ? `${path} has no fields` : undefined
  for (const [key, wanted] of Object.entries(filter)) {
    const field = properties[key]
    if (field === undefined && schema.open === true) continue
    const problem = field === undefined ? unknownKey(filter, key, properties, path) : fieldProblem(wanted, field, `${path}.${key}`)
    if (problem !== undefined) return problem
  }
  return undefined
}

function unknownKey (filter: OpenFilter, key: string, properties: object, path: string): string {
  if (key === 'FIELDS' && path === 'data.FIELDS') return "a filter has the keys of data.FIELDS, without 'FIELDS' itself"
  return optionsProblem(filter) ?? `${path} has no '${key}'${didYouMean(key, Object.keys(properties))}`
}

function fieldProblem (wanted: OpenFilter[string], schema: Schema, path: string): string | undefined {
  if (schema.anyOf !== undefined) {
    const problems = schema.anyOf.map(member => fieldProblem(wanted, member, path))
    return problems.includes(undefined) ? undefined : problems[0]
  }
  if (!isTyped(schema)) return undefined
  if (schema.type === 'array') return `${path} is a list, which no filter matches`
  if (isObject(wanted)) return schema.type === 'object' ? mapProblem(wanted as OpenFilter, schema, path) : `${path} is not a map`
  if (schema.type === 'object') return `${path} is a map: name a field of it`
  const values = [wanted].flat() as Scalar[]
  // One of several that fits is enough for a match, and the others are a mistake even so.
  return values.every(value => fits(value, schema)) ? undefined : `${path} is ${nameOf(schema)}, and ${JSON.stringify(values.find(value => !fits(value, schema)))} is not`
}

function fits (value: Scalar, { type, const: only }: Schema): boolean {
  switch (type) {
    case 'integer': return Number.isSafeInteger(value)
    case 'number': return typeof value === 'number'
    case 'boolean': return typeof value === 'boolean' && (only === undefined || only === value)
    case 'string': return typeof value === 'string'
    default: return false
  }
}

function nameOf ({ type }: Schema): string {
  return type === 'integer' ? 'an integer' : `a ${type}`
}

/** `unknown` of the tables takes anything, and a map of the sender's keys any key. */
function isTyped ({ type, properties, anyOf }: Schema): boolean {
  return anyOf !== undefined || (type !== undefined && (type !== 'object' || properties !== undefined))
}
