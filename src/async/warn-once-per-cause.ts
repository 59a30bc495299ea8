const QUIET_MS = 30_000
const MAX_CAUSES = 100

/** Wraps `warn` so that it is called once per error message, and again when that message returns after `quietMs` without it. */
export function warnOncePerCause (warn: (error: Error) => void, quietMs = QUIET_MS): (error: Error) => void {
  const lastSeen = new Map<string, number>()
  return (error) => {
    const now = performance.now()
    const last = lastSeen.get(error.message) ?? -Infinity
    if (lastSeen.size > MAX_CAUSES) lastSeen.clear()
    lastSeen.set(error.message, now)
    if (now - last > quietMs) warn(error)
  }
}
