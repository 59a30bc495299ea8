import type { Install } from '../installs/install.ts'
import type { Outcome } from '../installs/transitions.ts'
import { portalOf, type Portal } from '../portal/portal.ts'
import type { LifecycleData } from './lifecycle-data.ts'
import { rejected, type Announcement, type Receipt } from './receipt.ts'

/** What an outcome means for the post, and which lifecycle hook is to hear of it. */
export function lifecycleReceipt (outcome: Outcome, install: Install, known: Install | undefined, data: LifecycleData): Receipt {
  const portal = portalOf(install)
  switch (outcome) {
    case 'stale': return { status: 'stale', portal }
    case 'unknown': return rejected('uninstalled')
    case 'repeated': return { status: 'accepted', portal, announcements: [] }
    default: return { status: 'accepted', portal, announcements: [announce(outcome, portal, install, known, data)] }
  }
}

function announce (
  outcome: Exclude<Outcome, 'stale' | 'unknown' | 'repeated'>, portal: Portal, install: Install, known: Install | undefined, data: LifecycleData
): Announcement {
  switch (outcome) {
    case 'installed': return { hook: 'onInstall', fact: { portal, reinstall: false } }
    case 'reinstalled': return { hook: 'onInstall', fact: { portal, reinstall: true } }
    case 'updated': return { hook: 'onUpdate', fact: { portal, version: install.version, previousVersion: known?.version ?? data.previousVersion } }
    case 'user-ready': return { hook: 'onUserReady', fact: { portal, userId: install.systemUser?.userId } }
    case 'uninstalled': return { hook: 'onUninstall', fact: { portal, clean: data.clean } }
  }
}
