import type { Portal } from '../portal/portal.ts'
import type { LifecycleFact } from './lifecycle-hooks.ts'
import type { RejectReason } from './reject-reason.ts'

/** A lifecycle hook to run, and what to tell it. */
export type Announcement = {
  [N in AnnouncedHook]: { hook: N, fact: LifecycleFact<N> }
}[AnnouncedHook]

type AnnouncedHook = 'onInstall' | 'onUpdate' | 'onUninstall' | 'onUserReady'

/** What became of a post: to be handed to the handlers, too old to matter, or refused. */
export type Receipt =
  | { status: 'accepted', portal: Portal, announcements: readonly Announcement[] }
  | { status: 'stale', portal: Portal }
  | { status: 'rejected', reason: RejectReason }

export function rejected (reason: RejectReason): Receipt & { status: 'rejected' } {
  return { status: 'rejected', reason }
}
