import { FST_B24_INVALID_HANDLER } from '../errors.ts'
import type { EventData } from './event-map.ts'
import { isObject } from '../is-object.ts'
import type { Tree } from './tree.ts'

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
