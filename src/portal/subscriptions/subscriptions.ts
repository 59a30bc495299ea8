import type { InstallStore } from '../../installs/store.ts'
import { type ChangeOutcome, makeChanges, type RefusedEvent } from './bind-batch.ts'
import { type BindingChange, diffBindings, type Difference, isForeignName, type PortalBinding, readBindings } from './binding-diff.ts'
import { type Reason, reasonOf } from '../rest/reason-of.ts'
import type { Rest } from '../rest/rest.ts'
import type { WantedEvent } from './wanted-events.ts'

export interface SubscriptionsParts {
  rest: Pick<Rest, 'call'>
  store: Pick<InstallStore, 'get'>
  /** Asked anew at each sync: hooks come and go. */
  wanted: () => WantedEvent[]
  /** Where portals post events, as `handlerUrlOf()` makes it. Only bindings with exactly this address are ever changed. */
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
    const { handlerUrl, store } = this.#parts
    signal?.throwIfAborted()
    const report: SyncReport = { memberId, domain: '', bound: [], unbound: [], unchanged: 0, refused: [] }
    try {
      report.domain = (await store.get(memberId))?.install.domain ?? ''
      const difference = await this.#compare(memberId, handlerUrl, signal)
      report.unchanged = difference.unchanged
      if (dryRun) plan(report, difference)
      else await this.#apply(report, difference, signal)
      return { report }
    } catch (failure) {
      signal?.throwIfAborted()
      return { report: { ...report, error: reasonOf(failure) }, failure }
    }
  }

  async #compare (memberId: string, handlerUrl: string, signal: AbortSignal | undefined): Promise<Difference> {
    const { rest, wanted, offlineConnector: connector } = this.#parts
    const events = wanted()
    const bindings = readBindings(await rest.call(memberId, 'event.get', {}, { signal }))
    const boundUser = await this.#boundUser(memberId, events, bindings, handlerUrl, signal)
    return diffBindings(events, bindings, { handlerUrl, connector, boundUser })
  }

  /** A user who is no admin binds in their own name, whatever they ask for. */
  async #boundUser (memberId: string, wanted: WantedEvent[], bindings: PortalBinding[], handlerUrl: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    if (!isForeignName(wanted, bindings, handlerUrl)) return undefined
    const profile = await this.#parts.rest.call<{ ID?: unknown, ADMIN?: unknown } | undefined>(memberId, 'profile', {}, { signal })
    return profile?.ADMIN === true ? undefined : Number(profile?.ID ?? 0)
  }

  async #apply (report: SyncReport, { binds, unbinds }: Difference, signal: AbortSignal | undefined): Promise<void> {
    const make = async (changes: BindingChange[], done: string[]): Promise<ChangeOutcome['refused']> => {
      const { made, refused } = await makeChanges(this.#parts.rest, report.memberId, changes, { signal })
      done.push(...made.map(labelOf))
      report.refused.push(...refused.map(({ change, code }) => ({ event: labelOf(change), code })))
      return refused
    }
    const refused = await make(binds, report.bound)
    const kept = new Set(refused.map(({ change }) => change.event))
    await make(unbinds.filter(({ event }) => !kept.has(event)), report.unbound)
  }
}

function plan (report: SyncReport, { binds, unbinds }: Difference): void {
  report.bound.push(...binds.map(labelOf))
  report.unbound.push(...unbinds.map(labelOf))
}

function labelOf ({ event, offline }: BindingChange): string {
  return offline ? `${event} (offline)` : event
}
