import type { Row } from '../../portal/row-query.ts'

/** What the commands so far gave, by the names of the commands. */
export type BatchParts = Record<'result' | 'error' | 'total' | 'next' | 'time', Map<string, unknown>>

const REFERENCE = /\$(result|error|total|next|time)(\S*)/g
const KEY = /\[([^\]]+)\]/g

/**
 * Puts what the commands before gave in place of `$result[name][item][id]`, as Bitrix24's own code does: a value that is nothing but a reference
 * becomes what it points at, which need not be text. The path goes as far as it leads: an unknown name gives the map of all results,
 * which is no value to a method that wants one.
 */
export function resolveReferences (params: Row, parts: BatchParts): Row {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, resolveValue(value, parts)]))
}

function resolveValue (value: unknown, parts: BatchParts): unknown {
  if (Array.isArray(value)) return value.map(one => resolveValue(one, parts))
  if (typeof value === 'object' && value !== null) return resolveReferences(value as Row, parts)
  return typeof value === 'string' && value.includes('$') ? resolveText(value, parts) : value
}

function resolveText (text: string, parts: BatchParts): unknown {
  let resolved = text
  for (const [whole, part, path = ''] of text.matchAll(REFERENCE)) {
    const keys = Array.from(path.matchAll(KEY), ([, key]) => key as string)
    if (keys.length === 0) continue
    const found = follow(Object.fromEntries(parts[part as keyof BatchParts]), keys)
    if (whole === text) return found
    // Only what is text or a number has a place within other text.
    if (typeof found === 'string' || typeof found === 'number') resolved = resolved.replaceAll(whole, () => String(found))
  }
  return resolved
}

function follow (start: unknown, keys: string[]): unknown {
  let place = start
  for (const key of keys) {
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, key)) break
    const next = (place as Row)[key]
    if (next === null || next === undefined) break
    place = next
  }
  return place
}
