import type { Row } from '../../portal/row-query.ts'
import { refusal } from './error.ts'

/**
 * Puts what the calls of a batch gave so far in place of `{ $ref: 'name.item.id' }`, and a list of one field of many rows in place of
 * `{ $refArray: 'name.items.id' }`.
 *
 * @throws RestError for a path that leads nowhere
 */
export function resolveReferences (value: unknown, context: Row): unknown {
  if (Array.isArray(value)) return value.map(one => resolveReferences(one, context))
  if (!isRow(value)) return value
  if (typeof value['$ref'] === 'string') return follow(context, value['$ref'])
  if (typeof value['$refArray'] === 'string') return pluck(context, value['$refArray'])
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, resolveReferences(inner, context)]))
}

function pluck (context: Row, path: string): unknown[] {
  const dot = path.lastIndexOf('.')
  const rows = dot === -1 ? undefined : follow(context, path.slice(0, dot))
  if (!Array.isArray(rows)) throw refusal(400, 'INVALIDSELECTEXCEPTION', `Path '${path}' must point to a field of the rows of a list`)
  return rows.map(row => follow(row as Row, path.slice(dot + 1)))
}

function follow (start: Row, path: string): unknown {
  let place: unknown = start
  for (const key of path.split('.')) {
    const next = typeof place === 'object' && place !== null && Object.hasOwn(place, key) ? (place as Row)[key] : undefined
    if (next === undefined || next === null) throw refusal(400, 'INVALIDSELECTEXCEPTION', `Path '${path}' not found in context`)
    place = next
  }
  return place
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}
