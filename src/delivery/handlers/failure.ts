import { FST_B24_PORTAL_LIMIT } from '../../errors.ts'
import type { PortalLimitError } from '../../portal/rest/call-error.ts'
import type { Outcome } from '../../queue/queue.ts'

/** How long an event waits for a portal that takes no more calls, ms. */
const LIMIT_PATIENCE_MS = 24 * 60 * 60 * 1000
const SHORTEST_LIMIT_MS = 1_000

/** One error for all that failed: the only one, or an `AggregateError` whose message names each. */
export function failureOf (errors: readonly Error[]): Error {
  const [first] = errors
  if (errors.length === 1) return first as Error
  return new AggregateError(errors, `${errors.length} handlers failed: ${errors.map(({ message }) => message).join('; ')}`)
}

/**
 * What becomes of an event whose handlers failed so. Where all that failed is that the portal takes no more calls now, the event waits
 * for as long as the portal says, and that is no attempt; for a day at most, then it counts like any other failure.
 */
export function setbackOf (errors: readonly Error[], receivedAt: number): Outcome {
  const patienceMs = receivedAt + LIMIT_PATIENCE_MS - Date.now()
  if (errors.every(isLimit) && patienceMs > 0) {
    const delayMs = Math.max(...errors.map(({ retryAfterMs }) => retryAfterMs), SHORTEST_LIMIT_MS)
    // Not all of them at once: it would be full again.
    return { status: 'later', delayMs: Math.round(Math.min(delayMs * (1 + Math.random()), patienceMs)) }
  }
  return { status: 'failed', error: failureOf(errors) }
}

export function isLimit (error: Error): error is PortalLimitError {
  return error instanceof FST_B24_PORTAL_LIMIT
}
