import type { Portal } from '../portal/portal.ts'
import type { LifecycleFact } from './handlers/lifecycle-hooks.ts'
import type { RejectReason } from './reject-reason.ts'

/** A lifecycle hook to run, and what to tell it beside the portal. Plain JSON. */
export type Announcement = {
  [N in AnnouncedHook]: { hook: N, fact: Omit<LifecycleFact<N>, 'portal'> }
}[AnnouncedHook]

type AnnouncedHook = 'onInstall' | 'onUpdate' | 'onUninstall' | 'onUserReady'

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
