import { decodeForm } from '../../../wire/form.ts'
import { RestError, wrongArgument } from '../rest-error.ts'
import type { CallOutcome } from '../rest-call.ts'
import type { Row } from '../../portal/row-query.ts'

const MOST_COMMANDS = 50

/** Runs one command of a batch as a call of its own. */
export type RunCommand = (method: string, params: Row) => Promise<CallOutcome & { time: object }>

/** A command: `crm.item.get?entityTypeId=2&id=5`. */
export interface Command {
  name: string
  method: string
  params: Row
}

/** @throws RestError for no commands, too many, or a batch among them */
export function commandsOf (cmd: unknown): Command[] {
  if (typeof cmd !== 'object' || cmd === null) throw wrongArgument('cmd')
  const entries = Object.entries(cmd)
  if (entries.length > MOST_COMMANDS) throw new RestError(400, 'ERROR_BATCH_LENGTH_EXCEEDED', 'Max batch length exceeded')
  return entries.map(([name, text]) => {
    const [method = '', ...query] = String(text).split('?')
    return { name, method, params: { ...decodeForm(query.join('?')) } }
  })
}

/** Runs commands one after another. HTTP says 200, whatever they bring. */
export async function runBatch (commands: Command[], halts: boolean, run: RunCommand): Promise<CallOutcome> {
  const parts = { result: new Map(), result_error: new Map(), result_total: new Map(), result_next: new Map(), result_time: new Map() }
  for (const { name, method, params } of commands) {
    try {
      const { result, total, next, time } = await run(method, params)
      parts.result.set(name, result)
      parts.result_time.set(name, time)
      if (total !== undefined) parts.result_total.set(name, total)
      if (next !== undefined) parts.result_next.set(name, next)
    } catch (error) {
      if (!(error instanceof RestError)) throw error
      parts.result_error.set(name, { error: error.code, error_description: error.message })
      if (halts) break
    }
  }
  return { result: Object.fromEntries(Object.entries(parts).map(([name, map]) => [name, phpArray(map)])) }
}

/** As PHP writes it: a list where the keys are 0…n−1 in order, so that an empty map is `[]`. */
function phpArray (map: Map<string, unknown>): unknown {
  const isList = [...map.keys()].every((key, index) => key === String(index))
  return isList ? [...map.values()] : Object.fromEntries(map)
}
