const LONGEST_BACKOFF_MS = 60 * 60 * 1000

/** Wait after the `attempt`-th attempt, ms: doubled each time up to an hour, less up to half of it at random, so that what failed together does not come back together. */
export function backoffOf (attempt: number, backoffMs: number): number {
  const longest = Math.min(backoffMs * 2 ** (attempt - 1), LONGEST_BACKOFF_MS)
  return Math.max(1, Math.round(longest * (1 - Math.random() / 2)))
}
