import { isObject } from '../validation.ts'
import type { EventDefinition } from './catalogue/definition.ts'
import { catalogue } from './catalogue/index.ts'

const definitions = new Map<string, EventDefinition>(Object.values(catalogue).map(definition => [definition.code, definition]))

/** Finds the definition of an event by name or code, in any case; a code with a type suffix has the definition of its base code. */
export function definitionOf (event: string): EventDefinition | undefined {
  const code = event.toUpperCase()
  return definitions.get(code) ?? definitions.get(baseCode(code))
}

/** Returns `ONCRMDYNAMICITEMUPDATE` for `ONCRMDYNAMICITEMUPDATE_147`; any other code is its own base. */
export function baseCode (code: string): string {
  const end = code.lastIndexOf('_')
  if (end === -1 || !/^[0-9]+$/.test(code.slice(end + 1))) return code
  const base = code.slice(0, end)
  return definitions.get(base)?.suffixed === true ? base : code
}

/** Numbers, currency codes, uids. */
const ID = /^[0-9A-Za-z_.-]{1,64}$/

/**
 * Names the item of an event, such as `deal:5` or `dynamic:1220:24`, from its `data` as sent. The name is the same for all events of
 * that item. Returns `undefined` for events without an item or without its id.
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
    // Bitrix24 sends 0 for "no id".
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
