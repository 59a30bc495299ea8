import type { Reason } from '../rest/reason-of.ts'

/** What a drain did. */
export interface DrainReport {
  memberId: string
  connector: string
  /** Another process drains this queue, and this one left it to it. */
  busy: boolean
  /** Rows that the portal gave. */
  reserved: number
  /** Rows that are not events: they are told in the log, and deleted at the portal. */
  skipped: number
  /** Events that are queued here now. */
  stored: number
  /** Rows that are deleted at the portal. */
  cleared: number
  /**
   * The portal's plan has no `rest_offline_extended`: it deletes what it gives. Up to ten events are lost when its answer is, or when this
   * process dies before it has stored them.
   */
  atRisk: boolean
  /** Why the drain ended before its end. What was not stored is still at the portal, save `atRisk`. */
  error?: Reason
}
