import type { PairRejectReason } from '../oauth/verify-pair.ts'
import type { Portal } from '../portal/portal.ts'

/** Result of receiving a request. */
export type Receipt =
  /** Stored, or ready for the handlers. `portal` is absent while its install is being verified. */
  | { status: 'accepted', portal?: Portal }
  /** Superseded by a newer lifecycle event. */
  | { status: 'stale', portal: Portal }
  | Rejection

export interface Rejection {
  status: 'rejected'
  reason: RejectReason
}

export function rejected (reason: RejectReason): Rejection {
  return { status: 'rejected', reason }
}

/** Why a request was rejected. Used in logs and `onReject`; the response is the same 403 for all reasons. */
export type RejectReason = PairRejectReason | 'unknown_portal' | 'wrong_token' | 'uninstalled' | 'no_tokens' | 'private_address' | 'too_large' | 'not_admin'

/** Counters of this process since its start. */
export interface EventCounts {
  /** Requests answered with 200. */
  accepted: number
  /** Events whose handlers have all succeeded. */
  handled: number
  /** Events that no handler of a live process listens to: they are dropped. */
  unheard: number
  /** Failed attempts, including the last one of each event. */
  failedAttempts: number
  /** Events that became dead letters. */
  dead: number
  /** Lifecycle events superseded by newer ones; they reach no handler. */
  stale: number
  /** Requests answered with 403, and events that waited for an install that turned out to be forged. */
  rejected: number
  /** Requests answered with 5xx: nothing was stored, or a handler failed before the response. */
  unavailable: number
}

export function newEventCounts (): EventCounts {
  return { accepted: 0, handled: 0, unheard: 0, failedAttempts: 0, dead: 0, stale: 0, rejected: 0, unavailable: 0 }
}
