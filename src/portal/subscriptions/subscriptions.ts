import limitConcurrency from 'p-limit'
import { FST_B24_PORTAL_CALL } from '../../errors.ts'
import { baseCode, definitionOf } from '../../events/definitions.ts'
import type { InstallState } from '../../installs/install.ts'
import { type Reason, reasonOf } from '../rest/call-error.ts'
import type { Rest } from '../rest/rest.ts'
import {
  type BindingChange, type ChangeOutcome, diffBindings, type Difference, isBoundAsUser, applyChanges, type PortalBinding, parseBindings, type RefusedEvent
} from './bindings.ts'
import { digestOf, type WantedEvent, withSubscription, withUrl } from './wanted-events.ts'
import { type InstallStore, scanInstalls, updateInstall } from '../../storage/install-store.ts'
import { scalarText } from '../../validation.ts'

export interface SubscriptionsParts {
  rest: Pick<Rest, 'call'>
  store: Pick<InstallStore, 'get' | 'swap'>
  /** Called for each sync, because handlers change. */
  wanted: () => WantedEvent[]
  /** From `handlerUrlOf()`. Only bindings with exactly this URL, or a former one in the install record, are changed. */
  handlerUrl: string
  /** Offline queue of this app, `''` for the unnamed one; `undefined` if it has none. */
  offlineConnector?: string | undefined
}

export interface SyncOptions {
  /** Only reports the changes. @default false */
  dryRun?: boolean | undefined
  /** Aborts the sync, which rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Result of a sync on one portal. Offline bindings are named `ONCRMDEALUPDATE (offline)`. */
export interface SyncReport {
  memberId: string
  domain: string
  bound: string[]
  unbound: string[]
  /** Number of wanted events that were already bound. */
  unchanged: number
  /** Changes the portal refused: `ERROR_EVENT_NOT_FOUND` for an unknown event or one outside the app's scope. */
  refused: RefusedEvent[]
  /** Why the sync stopped early. */
  error?: Reason
}

/** Syncs the event bindings of portals with the app's handlers. */
export class Subscriptions {
  readonly #parts: SubscriptionsParts

  constructor (parts: SubscriptionsParts) {
    this.#parts = parts
  }

  /**
   * Binds missing events on a portal, then unbinds those no longer wanted. Rejects only on abort; other errors are in the report.
   */
  async sync (memberId: string, options: SyncOptions = {}): Promise<SyncReport> {
    return (await this.attempt(memberId, options)).report
  }

  /** Same as `sync`, and returns the error that stopped it. */
  async attempt (memberId: string, { dryRun = false, signal }: SyncOptions = {}): Promise<{ report: SyncReport, failure?: unknown }> {
    const { handlerUrl, store, wanted } = this.#parts
    signal?.throwIfAborted()
    const report: SyncReport = { memberId, domain: '', bound: [], unbound: [], unchanged: 0, refused: [] }
    try {
      const install = (await store.get(memberId))?.install
      report.domain = install?.domain ?? ''
      const events = wanted()
      const formerUrls = install?.subscribed?.urls.filter(url => url !== handlerUrl) ?? []
      if (!dryRun) await updateInstall(store, memberId, known => withUrl(known, handlerUrl))
      const context: SyncContext = { memberId, events, formerUrls, signal, isDryRun: dryRun }
      const difference = await this.#compare(report, context)
      report.unchanged = difference.unchanged
      if (dryRun) reportPlan(report, difference)
      else await this.#apply(report, difference, context)
      return { report }
    } catch (failure) {
      signal?.throwIfAborted()
      return { report: { ...report, error: reasonOf(failure) }, failure }
    }
  }

  async #compare (report: SyncReport, { memberId, events, formerUrls, signal, isDryRun }: SyncContext): Promise<Difference> {
    const { rest, handlerUrl, offlineConnector: connector } = this.#parts
    const bindings = parseBindings(await rest.call(memberId, 'event.get', {}, { signal }))
    const needsList = events.some(({ narrowed }) => narrowed !== undefined)
    const known = needsList ? await this.#knownEvents(memberId, signal) : undefined
    const wanted = narrow(events, known)
    const boundUser = await this.#boundUser(memberId, wanted, bindings, handlerUrl, signal)
    const difference = diffBindings(wanted, bindings, { handlerUrl, formerUrls, connector, boundUser })
    if (!isDryRun || difference.binds.length === 0) return difference
    const list = known ?? await this.#knownEvents(memberId, signal)
    const refused = difference.binds.filter(({ event }) => list !== undefined && !isKnown(event, list))
    report.refused.push(...refused.map(change => ({ event: labelOf(change), code: 'ERROR_EVENT_NOT_FOUND' })))
    return withoutRefused({ ...difference, binds: difference.binds.filter(bind => !refused.includes(bind)) }, refused)
  }

  /** Fetches the codes of all events the app may bind on the portal; `undefined` if the portal refuses. */
  async #knownEvents (memberId: string, signal: AbortSignal | undefined): Promise<ReadonlySet<string> | undefined> {
    try {
      const result = await this.#parts.rest.call(memberId, 'events', {}, { signal })
      return Array.isArray(result) ? new Set(result.map(code => scalarText(code).toUpperCase())) : undefined
    } catch (error) {
      if (error instanceof FST_B24_PORTAL_CALL) return undefined
      throw error
    }
  }

  /** Returns the token's user if bindings are made in their name, as for any user who is not an admin. */
  async #boundUser (memberId: string, wanted: WantedEvent[], bindings: PortalBinding[], handlerUrl: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    if (!isBoundAsUser(wanted, bindings, handlerUrl)) return undefined
    const profile = await this.#parts.rest.call<{ ID?: unknown, ADMIN?: unknown } | undefined>(memberId, 'profile', {}, { signal })
    return profile?.ADMIN === true ? undefined : Number(scalarText(profile?.ID))
  }

  async #apply (report: SyncReport, { binds, unbinds, unchanged }: Difference, { memberId, events, signal }: SyncContext): Promise<void> {
    const { rest, store, handlerUrl } = this.#parts
    const applyAll = async (changes: readonly BindingChange[], done: string[]): Promise<ChangeOutcome['refused']> => {
      const { applied, refused } = await applyChanges(rest, memberId, changes, { signal })
      done.push(...applied.map(labelOf))
      report.refused.push(...refused.map(({ change, code }) => ({ event: labelOf(change), code })))
      return refused
    }
    const refused = (await applyAll(binds, report.bound)).map(({ change }) => change)
    const kept = await applyAll(withoutRefused({ binds, unbinds, unchanged }, refused).unbinds, report.unbound)
    const urls = [handlerUrl, ...new Set(kept.map(({ change }) => change.handler).filter(handler => handler !== '' && handler !== handlerUrl))]
    const codes = report.refused.map(({ event }) => event)
    await updateInstall(store, memberId, known => withSubscription(known, { urls, wanted: digestOf(events), ...(codes.length > 0 && { refused: codes }) }))
  }
}

interface SyncContext {
  memberId: string
  events: readonly WantedEvent[]
  formerUrls: readonly string[]
  signal: AbortSignal | undefined
  isDryRun: boolean
}

/** Replaces common events by their types if the portal knows all of them. Never both, which would deliver events twice. */
function narrow (events: readonly WantedEvent[], known: ReadonlySet<string> | undefined): WantedEvent[] {
  const common = new Set(events.filter(({ narrowed }) => narrowed?.every(code => known?.has(code)) !== true).map(({ event }) => event))
  const chosen = events.flatMap(({ narrowed, ...wanted }) => common.has(wanted.event) ? [wanted] : (narrowed ?? []).map(event => ({ ...wanted, event })))
  return chosen.filter(({ event }, index) => chosen.findIndex(other => other.event === event) === index)
}

/** Basic events can always be bound, even if the list lacks them. */
function isKnown (event: string, known: ReadonlySet<string>): boolean {
  return known.has(event) || definitionOf(event)?.scope === 'basic'
}

/** Keeps old bindings of refused events; common and typed events stand in for each other. */
function withoutRefused (difference: Difference, refused: readonly BindingChange[]): Difference {
  const kept = new Set(refused.map(({ event }) => baseCode(event)))
  return { ...difference, unbinds: difference.unbinds.filter(({ event }) => !kept.has(baseCode(event))) }
}

function reportPlan (report: SyncReport, { binds, unbinds }: Difference): void {
  report.bound.push(...binds.map(labelOf))
  report.unbound.push(...unbinds.map(labelOf))
}

function labelOf ({ event, offline }: BindingChange): string {
  return offline ? `${event} (offline)` : event
}

export interface FleetSyncOptions extends SyncOptions {
  /** Portals synced concurrently. @default 4 */
  concurrency?: number | undefined
}

/** Result of a sync of all portals. */
export interface FleetReport {
  /** Reports of portals that changed, refused or failed. */
  reports: SyncReport[]
  /** Portals without access. */
  skipped: Array<{ memberId: string, domain: string, reason: Exclude<InstallState, 'active'> }>
  totals: FleetTotals
}

export interface FleetTotals {
  /** All portals that ever installed the app. */
  portals: number
  /** Portals without changes. */
  inOrder: number
  /** Portals with an `error` in their report. */
  failed: number
  skipped: number
  bound: number
  unbound: number
  refused: number
}

/**
 * Syncs the subscriptions of every portal. A failing portal does not stop the others; its error is in its report.
 *
 * @throws FST_B24_STORE_UNAVAILABLE, or the signal's reason
 */
export async function syncFleet (subscriptions: Pick<Subscriptions, 'sync'>, store: Pick<InstallStore, 'scan'>, { concurrency = 4, ...options }: FleetSyncOptions = {}): Promise<FleetReport> {
  const fleet: FleetReport = { reports: [], skipped: [], totals: { portals: 0, inOrder: 0, failed: 0, skipped: 0, bound: 0, unbound: 0, refused: 0 } }
  const limit = limitConcurrency(concurrency)
  options.signal?.throwIfAborted()
  for await (const installs of scanInstalls(store)) {
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
