import type { EventDefinition } from './catalogue/definition.ts'
import { isObject } from '../is-object.ts'

/** Numbers, codes of currencies, uids. */
const ID = /^[0-9A-Za-z_.-]{1,64}$/

/**
 * Names the item that an event is about, as `deal:5` or `dynamic:1220:24`, from its `data` as it came. The name is the same
 * for all events about that thing. `undefined` where the event has no item, or `data` does not say which it is.
 */
export function itemOf ({ item }: EventDefinition, data: unknown): string | undefined {
  if (item === undefined) return undefined
  let name = item.kind
  for (const places of item.ids) {
    const id = idOf(data, places)
    if (id === undefined) return undefined
    name += `:${id}`
  }
  return name
}

function idOf (data: unknown, places: ReadonlyArray<readonly string[]>): string | undefined {
  for (const place of places) {
    const value = valueAt(data, place)
    const id = typeof value === 'number' ? String(value) : value
    // Bitrix24 writes 0 for none: such events are not about one thing.
    if (typeof id === 'string' && id !== '0' && ID.test(id)) return id
  }
  return undefined
}

function valueAt (data: unknown, place: readonly string[]): unknown {
  let value = data
  for (const key of place) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}
