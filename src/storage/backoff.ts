const LONGEST_BACKOFF_MS = 60 * 60 * 1000

/** Longest wait after the `attempt`-th attempt, ms: doubled each time up to an hour. */
export function longestBackoffOf (attempt: number, backoffMs: number): number {
  return Math.min(backoffMs * 2 ** (attempt - 1), LONGEST_BACKOFF_MS)
}

/** Wait after the `attempt`-th attempt, ms: up to half of the longest shorter at random, so that what failed together does not come back together. */
export function backoffOf (attempt: number, backoffMs: number): number {
  return Math.max(1, Math.round(longestBackoffOf(attempt, backoffMs) * (1 - Math.random() / 2)))
}

/** How long an event waits that can only be tried again later: as long as it has waited already, within two times; ms. */
export function ageBackoff (receivedAt: number, leastMs: number, mostMs: number): number {
  return Math.min(Math.max(Date.now() - receivedAt, leastMs), mostMs)
}
