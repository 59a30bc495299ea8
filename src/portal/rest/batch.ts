import type { FastifyError } from '@fastify/error'
import { FST_B24_INVALID_CALL } from '../../errors.ts'
import { unavailableError } from './call-error.ts'
import { checkMethod } from './call-options.ts'
import { type AnsweredCall, itemError } from './classify-response.ts'
import { copyParams, encodeQuery } from './params.ts'
import { isObject } from '../../validation.ts'

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
const MAX_COMMANDS = 50

/** @throws FST_B24_INVALID_CALL for no calls, more than 50, and for any that `call` would refuse */
export function commandsOf (calls: unknown): BatchCommand[] {
  if (typeof calls !== 'object' || calls === null) throw new FST_B24_INVALID_CALL('a batch takes calls by name, or a list of them')
  const commands = Object.entries(calls).map(([name, call]: [string, unknown]) => commandOf(name, call))
  if (commands.length === 0) throw new FST_B24_INVALID_CALL('a batch without calls')
  if (commands.length > MAX_COMMANDS) throw new FST_B24_INVALID_CALL(`a batch of ${commands.length} calls, of which Bitrix24 takes ${MAX_COMMANDS}`)
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

/** Codes that concern the request and no single call. Where the app or the portal is refused, the batch is, with a status of its own. */
const CONCERNS_ALL = /^(expired_token|invalid_token|query_limit_exceeded)$/i

/**
 * Finds the error that a batch failed with as a whole, though its status is that of a success: all calls that were run were refused for what
 * concerns all, such as a token that expired. None did anything, so that the batch may be sent again.
 */
export function batchError (body: unknown): object | undefined {
  const answer = valueAt(body, 'result')
  const errors = Object.values(valueAt(answer, 'result_error') ?? {}).filter(isObject)
  const [first] = errors
  if (first === undefined || Object.keys(valueAt(answer, 'result') ?? {}).length > 0) return undefined
  return errors.every(({ error }) => typeof error === 'string' && CONCERNS_ALL.test(error) && error === first['error']) ? first : undefined
}

/**
 * Reads what became of each call of a classic batch. Each failed call has the error that `call` would have rejected with; none is made again, as
 * others of the batch may build on it.
 */
export function readBatch (body: unknown, commands: readonly BatchCommand[], call: Pick<AnsweredCall, 'memberId' | 'domain' | 'accessToken'>, halt: boolean): Array<[string, BatchOutcome]> {
  const answer = valueAt(body, 'result')
  if (!isObject(answer)) throw unavailableError('its answer is not that of a batch')
  const part = (name: string, key: string): unknown => valueAt(answer[name], key)
  const errorAt = (name: string): unknown => part('result_error', name) ?? undefined
  const failed = commands.findIndex(({ name }) => errorAt(name) !== undefined)
  return commands.map(({ name, method, params }, index) => {
    const stated = errorAt(name)
    if (stated !== undefined) return [name, { status: 'failed', error: itemError(stated, { ...call, method, params }) }]
    const result = part('result', name)
    if (result === undefined) return [name, missing(halt && failed !== -1 && index > failed)]
    return [name, { status: 'succeeded', result, total: countAt(answer['result_total'], name), next: countAt(answer['result_next'], name), time: part('result_time', name) }]
  })
}

/** Reads the answer to a batch of REST 3, which knows no errors of single calls. */
export function readBatch3 (body: unknown, commands: readonly BatchCommand[]): Array<[string, BatchOutcome]> {
  const results = valueAt(body, 'result')
  if (typeof results !== 'object' || results === null) throw unavailableError('its answer is not that of a batch')
  return commands.map(({ name }, index) => {
    const result = valueAt(results, String(index))
    return [name, result === undefined ? missing(false) : { status: 'succeeded', result, total: undefined, next: undefined, time: valueAt(body, 'time') }]
  })
}

/** A number such as `total`, which some portals write as text. */
export function countAt (value: unknown, key: string): number | undefined {
  const count = valueAt(value, key)
  const isCount = typeof count === 'number' ? Number.isSafeInteger(count) && count >= 0 : typeof count === 'string' && /^\d{1,15}$/.test(count)
  return isCount ? Number(count) : undefined
}

/** What stands under a key. PHP writes a map whose keys count from 0 as a list. */
export function valueAt (value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

function missing (isSkipped: boolean): BatchOutcome {
  return isSkipped ? { status: 'skipped' } : { status: 'failed', error: unavailableError('its answer does not tell what became of a call of the batch') }
}
