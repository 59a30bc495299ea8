import type { TSchema } from 'typebox'
import { FST_B24_INVALID_HANDLER } from '../errors.ts'
import { didYouMean, isObject } from '../validation.ts'
import type { Tree } from './decode.ts'
import { baseCode, definitionOf } from './definitions.ts'
import type { EventData } from './event-map.ts'

type Scalar = string | number | boolean

/** Filter on data of unknown type. */
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
 * Keys of an event's data with the required value, or a list of accepted values: `{ ENTITY_TYPE_ID: 1220 }`.
 * Keys are those of `data.FIELDS` if the event has it, otherwise those of `data`.
 */
export type EventFilter<Event extends string> = Event extends string ? FilterOf<Subject<EventData<Event>>> : never

/** Returns whether decoded data matches the filter. */
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
 * Validates the filter that an app passed. Rejects `undefined` values: an unset variable must not become a filter that matches
 * everything or nothing.
 *
 * @throws FST_B24_INVALID_HANDLER
 */
export function checkFilter (filter: unknown): OpenFilter {
  if (!isObject(filter)) throw new FST_B24_INVALID_HANDLER('the handler must be a function and the filter before it an object')
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

/** Keywords of JSON Schema that the catalogue uses. */
interface Schema {
  type?: string
  anyOf?: TSchema[]
  const?: unknown
  properties?: Record<string, TSchema>
  /** Additional keys of the sender's choice are possible. */
  open?: true
}

/** Describes why a filter can never match an event of this name or code. Returns `undefined` if it can, or for unknown events. */
export function filterProblem (event: string, filter: OpenFilter): string | undefined {
  const definition = definitionOf(event)
  if (definition === undefined) return optionsProblem(filter)
  const { FIELDS } = (definition.data as Schema).properties ?? {}
  return suffixProblem(event, filter) ?? mapProblem(filter, FIELDS ?? definition.data, FIELDS === undefined ? 'data' : 'data.FIELDS')
}

/** Detects options passed in place of the filter. */
function optionsProblem (filter: OpenFilter): string | undefined {
  return typeof filter['coalesce'] === 'boolean' ? "'coalesce' is an option: pass options after the handler" : undefined
}

/** Events of `ONCRMDYNAMICITEMUPDATE_147` concern only items of type 147. */
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
  if (key === 'FIELDS' && path === 'data.FIELDS') return "filter keys are those of data.FIELDS, without 'FIELDS' itself"
  return optionsProblem(filter) ?? `${path} has no '${key}'${didYouMean(key, Object.keys(properties))}`
}

function fieldProblem (wanted: OpenFilter[string], schema: Schema, path: string): string | undefined {
  if (schema.anyOf !== undefined) {
    const problems = schema.anyOf.map(member => fieldProblem(wanted, member, path))
    return problems.includes(undefined) ? undefined : problems[0]
  }
  if (!isTyped(schema)) return undefined
  if (schema.type === 'array') return `${path} is a list, and filters do not match lists`
  if (isObject(wanted)) return schema.type === 'object' ? mapProblem(wanted as OpenFilter, schema, path) : `${path} is not a map`
  if (schema.type === 'object') return `${path} is a map: use a nested filter`
  const values = [wanted].flat() as Scalar[]
  // One valid value is enough for a match, but any invalid one is a mistake.
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

/** Returns whether a schema restricts values: `unknown` accepts anything, and an open map any key. */
function isTyped ({ type, properties, anyOf }: Schema): boolean {
  return anyOf !== undefined || (type !== undefined && (type !== 'object' || properties !== undefined))
}
