/** What this process did since its start. */
export interface EventCounts {
  /** Posts answered 200. */
  accepted: number
  /** Events whose handlers have all succeeded, or that none listens to. */
  handled: number
  /** Attempts that failed: of each event, the last one too. */
  failedAttempts: number
  /** Events that became dead letters. */
  dead: number
  /** Lifecycle events that newer ones had overtaken; they reach no handler. */
  stale: number
  /** Posts answered 403, and events that were kept for an install which proved forged. */
  rejected: number
  /** Posts answered 5xx: nothing was stored, or a handler failed before the answer. */
  unavailable: number
}

export function newEventCounts (): EventCounts {
  return { accepted: 0, handled: 0, failedAttempts: 0, dead: 0, stale: 0, rejected: 0, unavailable: 0 }
}
