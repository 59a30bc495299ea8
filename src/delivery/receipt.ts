import type { PairRejectReason } from '../oauth/verify-pair.ts'
import type { Portal } from '../portal/portal.ts'

/** What became of a post. */
export type Receipt =
  /** To be handed to the handlers, or stored for them. `portal` is not known while its install is being verified. */
  | { status: 'accepted', portal?: Portal }
  /** Too old to matter. */
  | { status: 'stale', portal: Portal }
  | Rejection

export interface Rejection {
  status: 'rejected'
  reason: RejectReason
}

export function rejected (reason: RejectReason): Rejection {
  return { status: 'rejected', reason }
}

/** Why a post was refused. Stands in logs and in `onReject`; an event is answered the same 403 for all. */
export type RejectReason = PairRejectReason | 'unknown_portal' | 'wrong_token' | 'uninstalled' | 'no_tokens' | 'private_address' | 'too_large' | 'not_admin'

/** What this process did since its start. */
export interface EventCounts {
  /** Posts answered 200. */
  accepted: number
  /** Events whose handlers have all succeeded. */
  handled: number
  /** Events that no handler of this process or of another live one listens to: they are dropped. */
  unheard: number
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
  return { accepted: 0, handled: 0, unheard: 0, failedAttempts: 0, dead: 0, stale: 0, rejected: 0, unavailable: 0 }
}
