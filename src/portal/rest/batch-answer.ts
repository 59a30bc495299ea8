import { isObject } from '../../validation.ts'
import type { BatchCommand, BatchOutcome } from './batch.ts'
import { unavailableError } from './call-error.ts'
import { type AnsweredCall, errorOfItem } from './classify-response.ts'

/** Codes that concern the request and no single call. Where the app or the portal is refused, the batch is, with a status of its own. */
const CONCERNS_ALL = /^(expired_token|invalid_token|query_limit_exceeded)$/i

/**
 * Finds the error that a batch failed with as a whole, though its status is that of a success: all calls that were run were refused for what
 * concerns all, such as a token that expired. None did anything, so that the batch may be sent again.
 */
export function errorOfAll (body: unknown): object | undefined {
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
    if (stated !== undefined) return [name, { status: 'failed', error: errorOfItem(stated, { ...call, method, params }) }]
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
