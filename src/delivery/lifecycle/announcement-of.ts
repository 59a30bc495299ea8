import type { Install } from '../../installs/install.ts'
import type { FactOutcome } from '../../installs/install-transitions.ts'
import type { LifecycleData } from './lifecycle-data.ts'
import type { HookCall } from '../handlers/lifecycle-hooks.ts'

/** Which lifecycle hook is to hear of an outcome, and what; `undefined` where nothing changed. */
export function announcementOf (outcome: FactOutcome, install: Install, known: Install | undefined, data: LifecycleData): HookCall | undefined {
  switch (outcome) {
    case 'installed': return { hook: 'onInstall', fact: { reinstall: false } }
    case 'reinstalled': return { hook: 'onInstall', fact: { reinstall: true } }
    case 'updated': return { hook: 'onUpdate', fact: { version: install.version, previousVersion: known?.version ?? data.previousVersion } }
    case 'user-ready': return { hook: 'onUserReady', fact: { userId: install.systemUser?.userId } }
    case 'uninstalled': return { hook: 'onUninstall', fact: { clean: data.clean } }
    default: return undefined
  }
}
