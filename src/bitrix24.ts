import type { DeadLetters } from './delivery/dead-letters.ts'
import type { EventCounts } from './delivery/receipt.ts'
import type { HandlerContext } from './delivery/handlers/run-handler.ts'
import type { LifecycleHookRegistry, LifecycleHookName, LifecycleHooks } from './delivery/handlers/lifecycle-hooks.ts'
import { FST_B24_STORE_UNAVAILABLE } from './errors.ts'
import type { HandlerRegistry } from './events/handlers.ts'
import type { EventHandler as HandlerOf } from './events/registration.ts'
import { revokeToken } from './installs/application-token.ts'
import type { InstallStore } from './storage/install-store.ts'
import type { AppCredentialsState } from './oauth/app-credentials.ts'
import type { FleetReport, FleetSyncOptions } from './portal/subscriptions/subscriptions.ts'
import type { PortalBlock } from './portal/rest/observed-limits.ts'
import type { Portal, Portals } from './portal/portal.ts'
import type { EventCounts as QueueCounts } from './storage/event-store.ts'
import { scanInstalls } from './storage/update-install.ts'

/** No portal has this `member_id`; asking for it shows that the store answers. */
const NOBODY = '-'
const MOST_SWAPS = 50

export interface Health {
  /** Whether the store answers now. */
  store: 'ok' | 'unavailable'
  /**
   * Events of all processes that wait (for their turn, or for another attempt), are being handled, or are dead letters.
   * `undefined` when the queue does not answer; all 0 where handlers run before the answer, and nothing waits.
   */
  queue: QueueCounts | undefined
  /** What this process did since its start. */
  events: EventCounts
  /** Fields that did not fit their documented type, by event; they reached the handlers as they came. Counted where an event has handlers. */
  schemaMismatches: Record<string, number>
  /** Events that this process refused because their portal has as many waiting as it may, by `member_id`. See `onQuota`. */
  overQuota: Record<string, number>
  /** What portals do not take now until somebody there, or at Bitrix24, has acted; what this process knows of it. See `onBlocked`. */
  blocked: PortalBlock[]
  /** Whether an OAuth server accepted the app's keys, as far as this process knows; it is asked at the first install. */
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
  count: () => Pick<Health, 'events' | 'schemaMismatches' | 'overQuota' | 'blocked' | 'appKeys'>
}

/** Called with an event of this name or code, and with the portal it comes from. */
export type EventHandler<Event extends string> = HandlerOf<Event, HandlerContext>

/** The decorator `fastify.bitrix24`. */
export class Bitrix24 {
  /**
   * Registers a handler for one event or several; the type of `event.data` follows from the name.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  readonly on: HandlerRegistry<HandlerContext>['on']
  /** Takes a handler off again. */
  readonly off: HandlerRegistry<HandlerContext>['off']
  /** Registers a handler for every event, known or not. */
  readonly onAny: HandlerRegistry<HandlerContext>['onAny']
  /** Takes a handler of `onAny` off again. */
  readonly offAny: HandlerRegistry<HandlerContext>['offAny']
  /** Events that could not be handled. */
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
   * Registers a lifecycle hook. Hooks of one name run one after another.
   *
   * @throws FST_B24_HOOK_UNSUPPORTED
   */
  addHook<N extends LifecycleHookName> (name: N, hook: LifecycleHooks[N]): void {
    this.#parts.lifecycle.add(name, hook)
  }

  /**
   * The portal of that `member_id`, or `undefined` when the app was never installed there.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async portal (memberId: string): Promise<Portal | undefined> {
    const stored = await this.#parts.store.get(memberId)
    return stored === undefined ? undefined : this.#parts.portals.of(stored.install)
  }

  /**
   * Every portal that installed the app, those that removed it again among them (`state: 'uninstalled'`).
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async * portals (): AsyncGenerator<Portal, void, undefined> {
    for await (const installs of scanInstalls(this.#parts.store)) yield * installs.map(install => this.#parts.portals.of(install))
  }

  /**
   * Ends the `application_token` of a portal at once, and the one before it: for one that leaked. Every event of the portal is refused
   * (403) until an admin opens or installs the app again, which brings the token that the portal has then. Its OAuth tokens stay.
   *
   * @returns whether the portal has the app installed
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async revokeToken (memberId: string): Promise<boolean> {
    const { store } = this.#parts
    for (let swaps = 0; swaps < MOST_SWAPS; swaps++) {
      const stored = await store.get(memberId)
      if (stored === undefined || stored.install.state === 'uninstalled') return false
      if (await store.swap(memberId, stored.version, { ...revokeToken(stored.install), updatedAt: Date.now() })) return true
    }
    throw new FST_B24_STORE_UNAVAILABLE({ cause: new Error(`${MOST_SWAPS} writes in a row came too late`) })
  }

  /**
   * Brings the subscriptions of every portal in order: what the app's handlers name is bound, what none names any more is unbound. What
   * goes wrong on one portal stands in its report.
   *
   * @throws FST_B24_NO_PUBLIC_URL, FST_B24_STORE_UNAVAILABLE, or the reason of `signal`
   */
  async syncSubscriptions (options?: FleetSyncOptions): Promise<FleetReport> {
    return await this.#parts.syncFleet(options)
  }

  /** How the app is, for monitoring. Answers within a second, and never rejects, whatever the storage does. */
  async health (): Promise<Health> {
    const [store, queue] = await Promise.all([
      this.#parts.store.get(NOBODY).then(() => 'ok' as const, () => 'unavailable' as const),
      this.#parts.queueCounts().catch(() => undefined)
    ])
    return { store, queue, ...this.#parts.count() }
  }
}
