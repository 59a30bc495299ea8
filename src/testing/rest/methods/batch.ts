import { decodeForm } from '../../../wire/form.ts'
import type { Row } from '../../portal/row-query.ts'
import { type CallOutcome, RestError } from '../rest-call.ts'

const MOST_COMMANDS = 50

/** Runs one command of a batch as a separate call. */
export type RunCommand = (method: string, params: Row) => Promise<CallOutcome & { time: object }>

/**
 * Runs commands (`crm.item.get?entityTypeId=2&id=5`) sequentially, each with the results of the previous ones. The HTTP status is always 200.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/how-to-call-rest-api/batch.md
 */
export async function runBatch (cmd: unknown, halts: boolean, run: RunCommand): Promise<CallOutcome> {
  const parts: BatchParts = { result: new Map(), error: new Map(), total: new Map(), next: new Map(), time: new Map() }
  const commands = typeof cmd === 'object' && cmd !== null ? Object.entries(cmd) : []
  for (const [place, [name, command]] of commands.entries()) {
    try {
      if (place >= MOST_COMMANDS) throw new RestError(400, 'ERROR_BATCH_LENGTH_EXCEEDED', 'Max batch length exceeded')
      if (typeof command === 'string') keep(parts, name, await runCommand(command, parts, run))
    } catch (error) {
      if (!(error instanceof RestError)) throw error
      parts.error.set(name, error.body)
      if (halts) break
    }
  }
  const { result, error, total, next, time } = parts
  const shown = { result, result_error: error, result_total: total, result_next: next, result_time: time }
  return { result: Object.fromEntries(Object.entries(shown).map(([name, map]) => [name, phpArray(map)])) }
}

async function runCommand (command: string, parts: BatchParts, run: RunCommand): ReturnType<RunCommand> {
  // Like PHP's parse_url: the part after # does not belong to the query.
  const [method = '', ...query] = command.replace(/#.*$/s, '').split('?')
  if (method === 'batch') throw new RestError(405, 'ERROR_BATCH_METHOD_NOT_ALLOWED', 'Method is not allowed for batch usage')
  return await run(method.toLowerCase(), resolveReferences(decodeForm(query.join('?')), parts))
}

function keep (parts: BatchParts, name: string, outcome: CallOutcome & { time: object }): void {
  for (const [part, value] of Object.entries(outcome)) parts[part as keyof BatchParts].set(name, value)
}

/** Encodes a map like PHP: as a list if the keys are 0…n−1 in order, so an empty map is `[]`. */
function phpArray (map: Map<string, unknown>): unknown {
  const isList = [...map.keys()].every((key, index) => key === String(index))
  return isList ? [...map.values()] : Object.fromEntries(map)
}

/** Results of the previous commands, by command name. */
export type BatchParts = Record<'result' | 'error' | 'total' | 'next' | 'time', Map<string, unknown>>

const REFERENCE = /\$(result|error|total|next|time)(\S*)/g
const KEY = /\[([^\]]+)\]/g

/**
 * Resolves references such as `$result[name][item][id]` like Bitrix24: a value that consists of one reference becomes the referenced value,
 * of any type. An unresolvable path yields the last value found on it, so an unknown name yields the map of all results.
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
    // Only strings and numbers can be inserted into other text.
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
