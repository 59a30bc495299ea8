import type { FastifyError } from '@fastify/error'
import { FST_B24_INVALID_CALL } from '../../errors.ts'
import { checkMethod } from './call-options.ts'
import { copyParams, encodeQuery } from './params.ts'

/** A call of a batch: `['crm.item.get', { entityTypeId: 2, id: 5 }]`, or the same as a map. */
export type BatchCall = readonly [method: string, params?: object] | { readonly method: string, readonly params?: object | undefined }
/** Up to 50 calls, by name or as a list. */
export type BatchCalls = readonly BatchCall[] | Readonly<Record<string, BatchCall>>

/** What became of a call of a batch. */
export type BatchOutcome<T = unknown> =
  | { readonly status: 'succeeded', readonly result: T, readonly total: number | undefined, readonly next: number | undefined, readonly time: unknown }
  | { readonly status: 'failed', /** As `portal.call` would have rejected: `code`, `portalCode`, `description`. */ readonly error: FastifyError }
  /** Not run, as one before it failed. */
  | { readonly status: 'skipped' }

/** Outcomes under the names, or in the order, in which the calls were given. */
export type BatchOutcomes<Results extends object> = { readonly [Name in keyof Results]: BatchOutcome<Results[Name]> }

/** What a portal answered to a batch. */
export class BatchResult<Results extends object = Record<string, unknown>> {
  readonly outcomes: BatchOutcomes<Results>
  readonly #named: ReadonlyArray<[name: string, outcome: BatchOutcome]>

  constructor (named: ReadonlyArray<[name: string, outcome: BatchOutcome]>, isList: boolean) {
    this.#named = named
    this.outcomes = inShape(named, isList) as BatchOutcomes<Results>
  }

  /** Whether every call succeeded. */
  get isSuccess (): boolean {
    return this.#named.every(([, { status }]) => status === 'succeeded')
  }

  /** The results of the calls that succeeded; of a list, the others are `undefined`. */
  getData (): Partial<Results> {
    const isList = Array.isArray(this.outcomes)
    const named = this.#named.filter(([, { status }]) => isList || status === 'succeeded')
    return inShape(named.map(([name, outcome]) => [name, outcome.status === 'succeeded' ? outcome.result : undefined]), isList) as Partial<Results>
  }

  /** What the calls that failed were refused with, each behind its name. */
  getErrorMessages (): string[] {
    return this.#named.flatMap(([name, outcome]) => outcome.status === 'failed' ? [`${name}: ${outcome.error.message}`] : [])
  }
}

/** A call of a batch that was checked. */
export interface BatchCommand {
  name: string
  method: string
  params: object
}

/** Calls that Bitrix24 takes in one. */
const MOST_COMMANDS = 50

/** @throws FST_B24_INVALID_CALL for no calls, more than 50, and for any that `call` would refuse */
export function commandsOf (calls: unknown): BatchCommand[] {
  if (typeof calls !== 'object' || calls === null) throw new FST_B24_INVALID_CALL('a batch takes calls by name, or a list of them')
  const commands = Object.entries(calls).map(([name, call]: [string, unknown]) => commandOf(name, call))
  if (commands.length === 0) throw new FST_B24_INVALID_CALL('a batch without calls')
  if (commands.length > MOST_COMMANDS) throw new FST_B24_INVALID_CALL(`a batch of ${commands.length} calls, of which Bitrix24 takes ${MOST_COMMANDS}`)
  return commands
}

/** The parameters of classic `batch`: each call is a query string. Names are sent as they are, for `$result[name]` in later calls. */
export function batchParams (commands: readonly BatchCommand[], isList: boolean, halt: boolean): object {
  const texts = commands.map(({ name, method, params }) => [name, `${method}?${encodeQuery(method, params)}`] as const)
  return { halt: halt ? 1 : 0, cmd: inShape(texts, isList) }
}

/** The parameters of `batch` in REST 3: a list of calls, whose names are for `{ $ref: 'name.item.id' }` in later calls. */
export function batchParams3 (commands: readonly BatchCommand[], isList: boolean): object {
  return commands.map(({ name, method, params }) => ({ method, query: params, ...(!isList && { as: name }) }))
}

function commandOf (name: string, call: unknown): BatchCommand {
  if (name === '') throw new FST_B24_INVALID_CALL('a call of a batch has no name')
  const { method, params } = (Array.isArray(call) ? { method: call[0] as unknown, params: call[1] as unknown } : call ?? {}) as { method?: unknown, params?: unknown }
  checkMethod(method)
  return { name, method, params: copyParams(method, params) }
}

function inShape (entries: ReadonlyArray<readonly [name: string, value: unknown]>, isList: boolean): object {
  return isList ? entries.map(([, value]) => value) : Object.fromEntries(entries)
}
