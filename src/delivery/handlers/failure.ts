import { FST_B24_ANSWER_TOO_LARGE, FST_B24_GIVE_UP, FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT } from '../../errors.ts'
import type { PortalLimitError } from '../../portal/rest/call-error.ts'
import type { Outcome } from '../../queue/queue.ts'

/** How long an event waits for a portal that takes no more calls, ms. */
const LIMIT_PATIENCE_MS = 24 * 60 * 60 * 1000
const SHORTEST_LIMIT_MS = 1_000
/** What a portal says of calls that it will never take, in small letters. */
const NEVER: readonly string[] = ['error_method_not_found', 'insufficient_scope', 'bitrix_rest_v3_exception_methodnotfoundexception']

/** One error for all that failed: the only one, or an `AggregateError` whose message names each. */
export function failureOf (errors: readonly Error[]): Error {
  const [first] = errors
  if (errors.length === 1) return first as Error
  return new AggregateError(errors, `${errors.length} handlers failed: ${errors.map(({ message }) => message).join('; ')}`)
}

/**
 * What becomes of an event whose handlers failed so. Where none of them can ever succeed, it is a dead letter at once: one that may succeed at
 * another attempt is waited for, and those that gave up run again beside it. Where all others wait for a portal that takes no more calls
 * now, the event waits for as long as the portal says, and that is no attempt; for a day at most, then it counts like any other failure.
 */
export function setbackOf (errors: readonly Error[], receivedAt: number): Outcome {
  const passing = errors.filter(error => !isPermanent(error))
  if (passing.length === 0) return { status: 'dead', error: failureOf(errors) }
  const patienceMs = receivedAt + LIMIT_PATIENCE_MS - Date.now()
  if (passing.every(isLimit) && patienceMs > 0) {
    const delayMs = Math.max(...passing.map(({ retryAfterMs }) => retryAfterMs), SHORTEST_LIMIT_MS)
    // Not all of them at once: it would be full again.
    return { status: 'later', delayMs: Math.round(Math.min(delayMs * (1 + Math.random()), patienceMs)) }
  }
  return { status: 'failed', error: failureOf(errors) }
}

/** Returns whether no other attempt can end differently: the handler says so, or the portal does. */
export function isPermanent (error: Error): boolean {
  if (error instanceof FST_B24_GIVE_UP || error instanceof FST_B24_ANSWER_TOO_LARGE) return true
  return error instanceof FST_B24_PORTAL_CALL && NEVER.includes(error.portalCode.toLowerCase())
}

export function isLimit (error: Error): error is PortalLimitError {
  return error instanceof FST_B24_PORTAL_LIMIT
}
