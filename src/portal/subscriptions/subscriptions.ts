import limitConcurrency from 'p-limit'
import { FST_B24_PORTAL_CALL } from '../../errors.ts'
import { baseCode, definitionOf } from '../../events/definitions.ts'
import type { InstallState } from '../../installs/install.ts'
import { type Reason, reasonOf } from '../rest/call-error.ts'
import type { Rest } from '../rest/rest.ts'
import {
  type BindingChange, type ChangeOutcome, diffBindings, type Difference, isBoundAsUser, makeChanges, type PortalBinding, readBindings, type RefusedEvent
} from './bindings.ts'
import { digestOf, type WantedEvent, withSubscription, withUrl } from './wanted-events.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { updateInstall, scanInstalls } from '../../storage/update-install.ts'
import { scalarText } from '../../validation.ts'

export interface SubscriptionsParts {
  rest: Pick<Rest, 'call'>
  store: Pick<InstallStore, 'get' | 'swap'>
  /** Asked anew at each sync: hooks come and go. */
  wanted: () => WantedEvent[]
  /** Where portals post events, as `handlerUrlOf()` makes it. Only bindings with exactly this address, or one that was remembered as ours, are ever changed. */
  handlerUrl: string
  /** Queue whose bindings are ours too, `''` for the one without a name; `undefined`: none is. */
  offlineConnector?: string | undefined
}

export interface SyncOptions {
  /** Changes nothing, and reports what it would change. @default false */
  dryRun?: boolean | undefined
  /** Breaks the sync off; it then rejects with the reason of the signal. */
  signal?: AbortSignal | undefined
}

/** What a sync did on one portal. An event that waits in a queue is named `ONCRMDEALUPDATE (offline)`. */
export interface SyncReport {
  memberId: string
  domain: string
  bound: string[]
  unbound: string[]
  /** How many wanted events were bound as they should be. */
  unchanged: number
  /** What the portal does not do: `ERROR_EVENT_NOT_FOUND` for an event that is none, or is outside of the app's scope. */
  refused: RefusedEvent[]
  /** Why the sync ended before its end. */
  error?: Reason
}

/** Keeps the bindings of portals as the app's hooks need them. */
export class Subscriptions {
  readonly #parts: SubscriptionsParts

  constructor (parts: SubscriptionsParts) {
    this.#parts = parts
  }

  /**
   * Compares what a portal has bound for this app with what is wanted, binds what is missing, then unbinds what is left over. Says in the
   * report what went wrong, and rejects for no portal.
   */
  async sync (memberId: string, options: SyncOptions = {}): Promise<SyncReport> {
    return (await this.attempt(memberId, options)).report
  }

  /** The same, with the error itself where one ended it. */
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
      const look: Look = { memberId, events, formerUrls, signal, isPlan: dryRun }
      const difference = await this.#compare(report, look)
      report.unchanged = difference.unchanged
      if (dryRun) plan(report, difference)
      else await this.#apply(report, difference, look)
      return { report }
    } catch (failure) {
      signal?.throwIfAborted()
      return { report: { ...report, error: reasonOf(failure) }, failure }
    }
  }

  async #compare (report: SyncReport, { memberId, events, formerUrls, signal, isPlan }: Look): Promise<Difference> {
    const { rest, handlerUrl, offlineConnector: connector } = this.#parts
    const bindings = readBindings(await rest.call(memberId, 'event.get', {}, { signal }))
    const needsList = events.some(({ narrowed }) => narrowed !== undefined)
    const known = needsList ? await this.#knownEvents(memberId, signal) : undefined
    const wanted = narrow(events, known)
    const boundUser = await this.#boundUser(memberId, wanted, bindings, handlerUrl, signal)
    const difference = diffBindings(wanted, bindings, { handlerUrl, formerUrls, connector, boundUser })
    if (!isPlan || difference.binds.length === 0) return difference
    const list = known ?? await this.#knownEvents(memberId, signal)
    const refused = difference.binds.filter(({ event }) => list !== undefined && !isKnown(event, list))
    report.refused.push(...refused.map(change => ({ event: labelOf(change), code: 'ERROR_EVENT_NOT_FOUND' })))
    return withoutRefused({ ...difference, binds: difference.binds.filter(bind => !refused.includes(bind)) }, refused)
  }

  /** Codes of all events that the app may bind on the portal; `undefined` where it does not say. */
  async #knownEvents (memberId: string, signal: AbortSignal | undefined): Promise<ReadonlySet<string> | undefined> {
    try {
      const result = await this.#parts.rest.call(memberId, 'events', {}, { signal })
      return Array.isArray(result) ? new Set(result.map(code => scalarText(code).toUpperCase())) : undefined
    } catch (error) {
      if (error instanceof FST_B24_PORTAL_CALL) return undefined
      throw error
    }
  }

  /** A user who is no admin binds in their own name, whatever they ask for. */
  async #boundUser (memberId: string, wanted: WantedEvent[], bindings: PortalBinding[], handlerUrl: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    if (!isBoundAsUser(wanted, bindings, handlerUrl)) return undefined
    const profile = await this.#parts.rest.call<{ ID?: unknown, ADMIN?: unknown } | undefined>(memberId, 'profile', {}, { signal })
    return profile?.ADMIN === true ? undefined : Number(scalarText(profile?.ID))
  }

  async #apply (report: SyncReport, { binds, unbinds, unchanged }: Difference, { memberId, events, signal }: Look): Promise<void> {
    const { rest, store, handlerUrl } = this.#parts
    const make = async (changes: readonly BindingChange[], done: string[]): Promise<ChangeOutcome['refused']> => {
      const { made, refused } = await makeChanges(rest, memberId, changes, { signal })
      done.push(...made.map(labelOf))
      report.refused.push(...refused.map(({ change, code }) => ({ event: labelOf(change), code })))
      return refused
    }
    const refused = (await make(binds, report.bound)).map(({ change }) => change)
    const kept = await make(withoutRefused({ binds, unbinds, unchanged }, refused).unbinds, report.unbound)
    const urls = [handlerUrl, ...new Set(kept.map(({ change }) => change.handler).filter(handler => handler !== '' && handler !== handlerUrl))]
    const codes = report.refused.map(({ event }) => event)
    await updateInstall(store, memberId, known => withSubscription(known, { urls, wanted: digestOf(events), ...(codes.length > 0 && { refused: codes }) }))
  }
}

interface Look {
  memberId: string
  events: readonly WantedEvent[]
  formerUrls: readonly string[]
  signal: AbortSignal | undefined
  isPlan: boolean
}

/** What to bind on a portal that knows these events. All types or the common event, never both: each would deliver. */
function narrow (events: readonly WantedEvent[], known: ReadonlySet<string> | undefined): WantedEvent[] {
  const common = new Set(events.filter(({ narrowed }) => narrowed?.every(code => known?.has(code)) !== true).map(({ event }) => event))
  const chosen = events.flatMap(({ narrowed, ...wanted }) => common.has(wanted.event) ? [wanted] : (narrowed ?? []).map(event => ({ ...wanted, event })))
  return chosen.filter(({ event }, index) => chosen.findIndex(other => other.event === event) === index)
}

/** Every app may bind the basic events, whatever a list says. */
function isKnown (event: string, known: ReadonlySet<string>): boolean {
  return known.has(event) || definitionOf(event)?.scope === 'basic'
}

/** Rather the old binding than none: also of the common event where that of a type was refused, and the other way round. */
function withoutRefused (difference: Difference, refused: readonly BindingChange[]): Difference {
  const kept = new Set(refused.map(({ event }) => baseCode(event)))
  return { ...difference, unbinds: difference.unbinds.filter(({ event }) => !kept.has(baseCode(event))) }
}

function plan (report: SyncReport, { binds, unbinds }: Difference): void {
  report.bound.push(...binds.map(labelOf))
  report.unbound.push(...unbinds.map(labelOf))
}

function labelOf ({ event, offline }: BindingChange): string {
  return offline ? `${event} (offline)` : event
}

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
