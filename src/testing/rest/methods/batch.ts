import { decodeForm } from '../../../wire/form.ts'
import { type BatchParts, resolveReferences } from './batch-references.ts'
import { RestError } from '../rest-error.ts'
import type { CallOutcome } from '../rest-call.ts'
import type { Row } from '../../portal/row-query.ts'

const MOST_COMMANDS = 50

/** Runs one command of a batch as a call of its own. */
export type RunCommand = (method: string, params: Row) => Promise<CallOutcome & { time: object }>

/**
 * Runs commands (`crm.item.get?entityTypeId=2&id=5`) one after another, each with what those before it gave. HTTP says 200, whatever they bring.
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
  // PHP's parse_url: what stands after # is not of the query.
  const [method = '', ...query] = command.replace(/#.*$/s, '').split('?')
  if (method === 'batch') throw new RestError(405, 'ERROR_BATCH_METHOD_NOT_ALLOWED', 'Method is not allowed for batch usage')
  return await run(method.toLowerCase(), resolveReferences(decodeForm(query.join('?')), parts))
}

function keep (parts: BatchParts, name: string, outcome: CallOutcome & { time: object }): void {
  for (const [part, value] of Object.entries(outcome)) parts[part as keyof BatchParts].set(name, value)
}

/** As PHP writes it: a list where the keys are 0…n−1 in order, so that an empty map is `[]`. */
function phpArray (map: Map<string, unknown>): unknown {
  const isList = [...map.keys()].every((key, index) => key === String(index))
  return isList ? [...map.values()] : Object.fromEntries(map)
}
