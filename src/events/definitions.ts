import { isObject } from '../validation.ts'
import type { EventDefinition } from './catalogue/definition.ts'
import { catalogue } from './catalogue/index.ts'

const definitions = new Map<string, EventDefinition>(Object.values(catalogue).map(definition => [definition.code, definition]))

/** Finds what is known of an event by its name or code, in any case; a code with a type suffix is its base. */
export function definitionOf (event: string): EventDefinition | undefined {
  const code = event.toUpperCase()
  return definitions.get(code) ?? definitions.get(baseCode(code))
}

/** `ONCRMDYNAMICITEMUPDATE` of `ONCRMDYNAMICITEMUPDATE_147`; any other code is its own base. */
export function baseCode (code: string): string {
  const end = code.lastIndexOf('_')
  if (end === -1 || !/^[0-9]+$/.test(code.slice(end + 1))) return code
  const base = code.slice(0, end)
  return definitions.get(base)?.suffixed === true ? base : code
}

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
