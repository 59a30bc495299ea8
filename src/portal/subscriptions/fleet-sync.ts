import limitConcurrency from 'p-limit'
import type { InstallState } from '../../installs/install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import type { Subscriptions, SyncOptions, SyncReport } from './subscriptions.ts'
import { pagesOf } from '../../storage/update-install.ts'

export interface FleetSyncOptions extends SyncOptions {
  /** Portals that are worked on at once. @default 4 */
  concurrency?: number | undefined
}

/** What a sync of all portals did. */
export interface FleetReport {
  /** Of the portals that were not in order. */
  reports: SyncReport[]
  /** Portals on which the app may not act now. */
  skipped: Array<{ memberId: string, domain: string, reason: Exclude<InstallState, 'active'> }>
  totals: FleetTotals
}

export interface FleetTotals {
  /** All that installed the app, ever. */
  portals: number
  /** Portals that were as they should be. */
  inOrder: number
  /** Portals that could not be brought to an end; each has an `error` in its report. */
  failed: number
  skipped: number
  bound: number
  unbound: number
  refused: number
}

/**
 * Brings the subscriptions of every portal in order. What goes wrong on one portal stands in its report, and stops no other.
 *
 * @throws FST_B24_STORE_UNAVAILABLE, or the reason of `signal`
 */
export async function syncFleet (subscriptions: Pick<Subscriptions, 'sync'>, store: Pick<InstallStore, 'scan'>, { concurrency = 4, ...options }: FleetSyncOptions = {}): Promise<FleetReport> {
  const fleet: FleetReport = { reports: [], skipped: [], totals: { portals: 0, inOrder: 0, failed: 0, skipped: 0, bound: 0, unbound: 0, refused: 0 } }
  const limit = limitConcurrency(concurrency)
  options.signal?.throwIfAborted()
  for await (const installs of pagesOf(store)) {
    options.signal?.throwIfAborted()
    fleet.totals.portals += installs.length
    await limit.map(installs, async ({ memberId, domain, state }) => {
      if (state === 'active') count(fleet, await subscriptions.sync(memberId, options))
      else fleet.skipped.push({ memberId, domain, reason: state })
    })
  }
  fleet.totals.skipped = fleet.skipped.length
  return fleet
}

function count ({ reports, totals }: FleetReport, report: SyncReport): void {
  const { bound, unbound, refused, error } = report
  totals.bound += bound.length
  totals.unbound += unbound.length
  totals.refused += refused.length
  if (error !== undefined) totals.failed++
  if (error === undefined && bound.length + unbound.length + refused.length === 0) totals.inOrder++
  else reports.push(report)
}
