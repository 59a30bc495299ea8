/** Time without the same failure after which it is told again, ms. */
const QUIET_MS = 30_000

/** Tells each kind of failure once, and again when it comes back after `quietMs`. */
export function once (tell: (error: Error) => void, quietMs = QUIET_MS): (error: Error) => void {
  const seen = new Map<string, number>()
  return (error) => {
    const now = performance.now()
    const last = seen.get(error.message) ?? -Infinity
    if (seen.size > 100) seen.clear()
    seen.set(error.message, now)
    if (now - last > quietMs) tell(error)
  }
}
