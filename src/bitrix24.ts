import type { DeadLetters } from './delivery/dead-letters.ts'
import type { EventCounts } from './delivery/receive-outcome.ts'
import type { HandlerContext } from './delivery/run-handler.ts'
import type { LifecycleHookRegistry, LifecycleHookName, LifecycleHooks } from './delivery/lifecycle-hooks.ts'
import { FST_B24_STORE_UNAVAILABLE } from './errors.ts'
import type { HandlerRegistry } from './events/handlers.ts'
import type { EventHandler as HandlerOf } from './events/registration.ts'
import { revokeToken } from './installs/application-token.ts'
import { type InstallStore, scanInstalls } from './storage/install-store.ts'
import type { AppCredentialsState } from './oauth/app-credentials.ts'
import type { FleetReport, FleetSyncOptions } from './portal/subscriptions/subscriptions.ts'
import type { PortalBlock } from './portal/rest/observed-limits.ts'
import type { Portal, Portals } from './portal/portal.ts'
import type { EventCounts as QueueCounts } from './storage/event-store.ts'

/** A `member_id` that no portal has, to check whether the store responds. */
const UNUSED_MEMBER_ID = '-'
const MAX_SWAPS = 50

export interface Health {
  /** Availability of the store. */
  store: 'ok' | 'unavailable'
  /**
   * Waiting (including for a retry), active and dead events of all processes.
   * `undefined` if the queue does not respond; all 0 if handlers run before the response (`delivery.mode: 'inline'`).
   */
  queue: QueueCounts | undefined
  /**
   * Age of the oldest event that waits for its turn, in milliseconds; `undefined` if none waits or the queue does not respond. In a backlog of more than 500
   * portals, the oldest of those whose turns are next.
   */
  oldestMs: number | undefined
  /** Counters of this process since its start. */
  events: EventCounts
  /** Number of fields that did not match their documented type, by event; handlers receive them as sent. Counted for events with handlers. */
  schemaMismatches: Record<string, number>
  /** Events that this process rejected because of their portal's share of waiting events, by `member_id`. See `onQuota`. */
  overQuota: Record<string, number>
  /** Calls that portals reject until manual action, as known to this process. See `onBlocked`. */
  blocked: PortalBlock[]
  /** Whether an OAuth server accepted the app's credentials, as known to this process; checked at the first install. */
  appKeys: AppCredentialsState
}

export interface Bitrix24Parts {
  handlers: HandlerRegistry<HandlerContext>
  lifecycle: LifecycleHookRegistry
  store: InstallStore
  portals: Portals
  syncFleet: (options?: FleetSyncOptions) => Promise<FleetReport>
  deadLetters: DeadLetters
  queueCounts: () => Promise<QueueCounts>
  oldestWaitingAt: () => Promise<number | undefined>
  count: () => Pick<Health, 'events' | 'schemaMismatches' | 'overQuota' | 'blocked' | 'appKeys'>
}

/** Handler of events with this name or code. */
export type EventHandler<Event extends string> = HandlerOf<Event, HandlerContext>

/** The decorator `fastify.bitrix24`. */
export class Bitrix24 {
  /**
   * Registers a handler for one or more events. The type of `event.data` depends on the name.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  readonly on: HandlerRegistry<HandlerContext>['on']
  /** Removes a handler. */
  readonly off: HandlerRegistry<HandlerContext>['off']
  /** Registers a handler for every event, documented or not. */
  readonly onAny: HandlerRegistry<HandlerContext>['onAny']
  /** Removes a handler of `onAny`. */
  readonly offAny: HandlerRegistry<HandlerContext>['offAny']
  /** Events that failed permanently. */
  readonly deadLetters: DeadLetters
  readonly #parts: Bitrix24Parts

  constructor (parts: Bitrix24Parts) {
    this.#parts = parts
    this.deadLetters = parts.deadLetters
    this.on = parts.handlers.on.bind(parts.handlers)
    this.off = parts.handlers.off.bind(parts.handlers)
    this.onAny = parts.handlers.onAny.bind(parts.handlers)
    this.offAny = parts.handlers.offAny.bind(parts.handlers)
  }

  /**
   * Registers a lifecycle hook. Hooks of one name run sequentially.
   *
   * @throws FST_B24_HOOK_UNSUPPORTED
   */
  addHook<N extends LifecycleHookName> (name: N, hook: LifecycleHooks[N]): void {
    this.#parts.lifecycle.add(name, hook)
  }

  /**
   * Returns the portal with this `member_id`, or `undefined` if the app was never installed there.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async portal (memberId: string): Promise<Portal | undefined> {
    const stored = await this.#parts.store.get(memberId)
    return stored === undefined ? undefined : this.#parts.portals.of(stored.install)
  }

  /**
   * Yields every portal that installed the app, including those that removed it (`state: 'uninstalled'`).
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async * portals (): AsyncGenerator<Portal, void, undefined> {
    for await (const installs of scanInstalls(this.#parts.store)) yield * installs.map(install => this.#parts.portals.of(install))
  }

  /**
   * Revokes a leaked `application_token` of a portal, and the previous one, immediately. Events of the portal are rejected with 403 until an
   * admin opens or installs the app again, which provides the current token. OAuth tokens are kept.
   *
   * @returns whether the portal has the app installed
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async revokeToken (memberId: string): Promise<boolean> {
    const { store } = this.#parts
    for (let swaps = 0; swaps < MAX_SWAPS; swaps++) {
      const stored = await store.get(memberId)
      if (stored === undefined || stored.install.state === 'uninstalled') return false
      if (await store.swap(memberId, stored.version, { ...revokeToken(stored.install), updatedAt: Date.now() })) return true
    }
    throw new FST_B24_STORE_UNAVAILABLE({ cause: new Error(`${MAX_SWAPS} consecutive writes lost the race against other writers`) })
  }

  /**
   * Synchronizes the subscriptions of every portal with the app's handlers: binds missing events, unbinds others. Failures of a portal are
   * part of its report.
   *
   * @throws FST_B24_NO_PUBLIC_URL, FST_B24_STORE_UNAVAILABLE, or the reason of `signal`
   */
  async syncSubscriptions (options?: FleetSyncOptions): Promise<FleetReport> {
    return await this.#parts.syncFleet(options)
  }

  /** Returns the health of the app, for monitoring. Responds within a second and never rejects, even during a storage outage. */
  async health (): Promise<Health> {
    const [store, queue, oldestAt] = await Promise.all([
      this.#parts.store.get(UNUSED_MEMBER_ID).then(() => 'ok' as const, () => 'unavailable' as const),
      this.#parts.queueCounts().catch(() => undefined),
      this.#parts.oldestWaitingAt().catch(() => undefined)
    ])
    return { store, queue, oldestMs: oldestAt === undefined ? undefined : Math.max(0, Date.now() - oldestAt), ...this.#parts.count() }
  }
}
