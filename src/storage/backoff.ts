const MAX_BACKOFF_MS = 60 * 60 * 1000

/** Maximum delay after the `attempt`-th attempt, ms: doubled each time up to an hour. */
export function maxBackoffOf (attempt: number, backoffMs: number): number {
  return Math.min(backoffMs * 2 ** (attempt - 1), MAX_BACKOFF_MS)
}

/** Delay after the `attempt`-th attempt with jitter, ms: 50 to 100 % of the maximum, so that events that failed together are not retried together. */
export function backoffOf (attempt: number, backoffMs: number): number {
  return Math.max(1, Math.round(maxBackoffOf(attempt, backoffMs) * (1 - Math.random() / 2)))
}

/** Delay of an event that cannot be handled yet, ms: its age, clamped to a range. */
export function ageBackoff (receivedAt: number, minMs: number, maxMs: number): number {
  return Math.min(Math.max(Date.now() - receivedAt, minMs), maxMs)
}
