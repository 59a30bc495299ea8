import type { FastifyError } from '@fastify/error'
import { FST_B24_INVALID_CALL } from '../../errors.ts'
import { unavailableError } from './call-error.ts'
import { checkMethod, copyParams, encodeQuery } from './call-arguments.ts'
import { type AnsweredCall, itemError } from './classify-response.ts'
import { isObject } from '../../validation.ts'

/** One call: `['crm.item.get', { entityTypeId: 2, id: 5 }]`, or the same as an object. */
export type BatchCall = readonly [method: string, params?: object] | { readonly method: string, readonly params?: object | undefined }
/** Up to 50 calls, entries or as an array. */
export type BatchCalls = readonly BatchCall[] | Readonly<Record<string, BatchCall>>

/** Outcome of one call of a batch. */
export type BatchOutcome<T = unknown> =
  | { readonly status: 'succeeded', readonly result: T, readonly total: number | undefined, readonly next: number | undefined, readonly time: unknown }
  | { readonly status: 'failed', /** As `portal.call` would have rejected: `code`, `portalCode`, `description`. */ readonly error: FastifyError }
  /** Not run because an earlier call failed. */
  | { readonly status: 'skipped' }

/** Outcomes by name or in order, as the calls were given. */
export type BatchOutcomes<Results extends object> = { readonly [Name in keyof Results]: BatchOutcome<Results[Name]> }

/** Result of a batch. */
export class BatchResult<Results extends object = Record<string, unknown>> {
  readonly outcomes: BatchOutcomes<Results>
  readonly #entries: ReadonlyArray<[name: string, outcome: BatchOutcome]>

  constructor (entries: ReadonlyArray<[name: string, outcome: BatchOutcome]>, isList: boolean) {
    this.#entries = entries
    this.outcomes = inShape(entries, isList) as BatchOutcomes<Results>
  }

  get isSuccess (): boolean {
    return this.#entries.every(([, { status }]) => status === 'succeeded')
  }

  /** Results of the successful calls; in an array, failed calls are `undefined`. */
  getData (): Partial<Results> {
    const isList = Array.isArray(this.outcomes)
    const entries = this.#entries.filter(([, { status }]) => isList || status === 'succeeded')
    return inShape(entries.map(([name, outcome]) => [name, outcome.status === 'succeeded' ? outcome.result : undefined]), isList) as Partial<Results>
  }

  /** Error messages of the failed calls, each prefixed with the call's name. */
  getErrorMessages (): string[] {
    return this.#entries.flatMap(([name, outcome]) => outcome.status === 'failed' ? [`${name}: ${outcome.error.message}`] : [])
  }
}

/** A validated call of a batch. */
export interface BatchCommand {
  name: string
  method: string
  params: object
}

/** Bitrix24's limit per batch. */
const MAX_COMMANDS = 50

/** @throws FST_B24_INVALID_CALL for no calls, more than 50, and for any that `call` would reject */
export function commandsOf (calls: unknown): BatchCommand[] {
  if (typeof calls !== 'object' || calls === null) throw new FST_B24_INVALID_CALL('a batch must be an object or an array of calls')
  const commands = Object.entries(calls).map(([name, call]: [string, unknown]) => commandOf(name, call))
  if (commands.length === 0) throw new FST_B24_INVALID_CALL('batch has no calls')
  if (commands.length > MAX_COMMANDS) throw new FST_B24_INVALID_CALL(`batch has ${commands.length} calls, more than the limit of ${MAX_COMMANDS}`)
  return commands
}

/** Builds the parameters of a classic batch: one query string per call. Later calls can refer to a name as `$result[name]`. */
export function batchParams (commands: readonly BatchCommand[], isList: boolean, halt: boolean): object {
  const texts = commands.map(({ name, method, params }) => [name, `${method}?${encodeQuery(method, params)}`] as const)
  return { halt: halt ? 1 : 0, cmd: inShape(texts, isList) }
}

/** Builds the parameters of a REST 3 batch. Later calls can refer to a name as `{ $ref: 'name.item.id' }`. */
export function batchParams3 (commands: readonly BatchCommand[], isList: boolean): object {
  return commands.map(({ name, method, params }) => ({ method, query: params, ...(!isList && { as: name }) }))
}

function commandOf (name: string, call: unknown): BatchCommand {
  if (name === '') throw new FST_B24_INVALID_CALL('a call of the batch has no name')
  const { method, params } = (Array.isArray(call) ? { method: call[0] as unknown, params: call[1] as unknown } : call ?? {}) as { method?: unknown, params?: unknown }
  checkMethod(method)
  return { name, method, params: copyParams(method, params) }
}

function inShape (entries: ReadonlyArray<readonly [name: string, value: unknown]>, isList: boolean): object {
  return isList ? entries.map(([, value]) => value) : Object.fromEntries(entries)
}

/** Codes about the request, not a single call. If access is denied, the batch itself fails instead. */
const WHOLE_BATCH_ERROR = /^(expired_token|invalid_token|query_limit_exceeded)$/i

/**
 * Returns the error that all calls of a successful batch response failed with, such as an expired token. No call had any effect, so the whole
 * batch can be retried.
 */
export function batchError (body: unknown): object | undefined {
  const response = valueAt(body, 'result')
  const errors = Object.values(valueAt(response, 'result_error') ?? {}).filter(isObject)
  const [first] = errors
  if (first === undefined || Object.keys(valueAt(response, 'result') ?? {}).length > 0) return undefined
  return errors.every(({ error }) => typeof error === 'string' && WHOLE_BATCH_ERROR.test(error) && error === first['error']) ? first : undefined
}

/**
 * Parses the outcomes of a classic batch. A failed call has the error that `call` would reject with; it is not retried, because other calls may
 * depend on it.
 */
export function parseBatch (body: unknown, commands: readonly BatchCommand[], call: Pick<AnsweredCall, 'memberId' | 'domain' | 'accessToken'>, halt: boolean): Array<[string, BatchOutcome]> {
  const response = valueAt(body, 'result')
  if (!isObject(response)) throw unavailableError('its response is not a batch response')
  const part = (name: string, key: string): unknown => valueAt(response[name], key)
  const errorAt = (name: string): unknown => part('result_error', name) ?? undefined
  const failed = commands.findIndex(({ name }) => errorAt(name) !== undefined)
  return commands.map(({ name, method, params }, index) => {
    const stated = errorAt(name)
    if (stated !== undefined) return [name, { status: 'failed', error: itemError(stated, { ...call, method, params }) }]
    const result = part('result', name)
    if (result === undefined) return [name, missingOutcome(halt && failed !== -1 && index > failed)]
    return [name, { status: 'succeeded', result, total: countAt(response['result_total'], name), next: countAt(response['result_next'], name), time: part('result_time', name) }]
  })
}

/** Parses the outcomes of a REST 3 batch, which has no errors of single calls. */
export function parseBatch3 (body: unknown, commands: readonly BatchCommand[]): Array<[string, BatchOutcome]> {
  const results = valueAt(body, 'result')
  if (typeof results !== 'object' || results === null) throw unavailableError('its response is not a batch response')
  return commands.map(({ name }, index) => {
    const result = valueAt(results, String(index))
    return [name, result === undefined ? missingOutcome(false) : { status: 'succeeded', result, total: undefined, next: undefined, time: valueAt(body, 'time') }]
  })
}

/** Parses a count such as `total`, which some portals write as a string. */
export function countAt (value: unknown, key: string): number | undefined {
  const count = valueAt(value, key)
  const isCount = typeof count === 'number' ? Number.isSafeInteger(count) && count >= 0 : typeof count === 'string' && /^\d{1,15}$/.test(count)
  return isCount ? Number(count) : undefined
}

/** Returns an own property. PHP writes a map with keys 0, 1, ... as an array. */
export function valueAt (value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

function missingOutcome (isSkipped: boolean): BatchOutcome {
  return isSkipped ? { status: 'skipped' } : { status: 'failed', error: unavailableError('its response lacks the result of a batch call') }
}
