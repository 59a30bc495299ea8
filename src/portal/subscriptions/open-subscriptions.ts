import type { FastifyBaseLogger } from 'fastify'
import type { Install } from '../../installs/install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import {
  FST_B24_CLOSING, FST_B24_NO_PUBLIC_URL, FST_B24_OAUTH_UNAVAILABLE, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE
} from '../../errors.ts'
import { type FleetReport, type FleetSyncOptions, Subscriptions, syncFleet, type SyncReport } from './subscriptions.ts'
import { digestOf, handlerUrlOf, isInSync, type Listeners, type SubscriptionOptions, wantedEvents } from './wanted-events.ts'
import type { Rest } from '../rest/rest.ts'

export interface SubscriptionParts {
  rest: Pick<Rest, 'call'>
  /** Fetches the plan of a portal; never rejects. */
  fetchPlan?: ((memberId: string) => Promise<void>) | undefined
  store: Pick<InstallStore, 'get' | 'swap' | 'scan'>
  handlers: Listeners
  /** Validated by `checkPublicUrl()`. */
  publicUrl: string | undefined
  prefix: string
  /** Validated by `checkSubscriptions()`. */
  options: SubscriptionOptions
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
}

export interface SubscriptionServices {
  /** Rejects with FST_B24_NO_PUBLIC_URL without a `publicUrl`, as `syncFleet` does. */
  subscriptions: Pick<Subscriptions, 'sync'>
  /** For `app.bitrix24.syncSubscriptions()`. */
  syncFleet: (options?: FleetSyncOptions) => Promise<FleetReport>
  /**
   * Subscribes a portal, as an `onInstall` and `onUpdate` hook. Rejects on transient errors, logs permanent ones. `undefined` without a
   * `publicUrl`.
   */
  subscribe: ((fact: { portal: { memberId: string } }) => Promise<void>) | undefined
  /** Returns whether the last sync of a portal matches the current handlers. `undefined` without a `publicUrl`. */
  isInSync: ((install: Install) => boolean) | undefined
}

const TRANSIENT_ERRORS = [FST_B24_PORTAL_UNAVAILABLE, FST_B24_PORTAL_LIMIT, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE, FST_B24_CLOSING]

export function openSubscriptions ({ rest, fetchPlan, store, handlers, publicUrl, prefix, options, log }: SubscriptionParts): SubscriptionServices {
  if (publicUrl === undefined) {
    const refuse = async () => { throw new FST_B24_NO_PUBLIC_URL('portals need a URL to post events to') }
    return { subscriptions: { sync: refuse }, syncFleet: refuse, subscribe: undefined, isInSync: undefined }
  }
  const { offline, authConnector = '' } = options
  const wanted = () => wantedEvents(handlers, options)
  const handlerUrl = handlerUrlOf(publicUrl, prefix)
  const subscriptions = new Subscriptions({
    rest,
    store,
    wanted,
    handlerUrl,
    offlineConnector: offline === undefined ? undefined : authConnector
  })
  return {
    subscriptions,
    isInSync: install => isInSync(install, handlerUrl, digestOf(wanted())),
    syncFleet: async (options) => await syncFleet(subscriptions, store, options),
    subscribe: async ({ portal }) => {
      const { report, failure } = await subscriptions.attempt(portal.memberId)
      logReport(report, log)
      if (failure === undefined) await fetchPlan?.(portal.memberId)
      if (TRANSIENT_ERRORS.some(Transient => failure instanceof Transient)) throw failure
    }
  }
}

function logReport ({ memberId, domain, bound, unbound, refused, error }: SyncReport, log: SubscriptionParts['log']): void {
  if (error !== undefined || refused.length > 0) log.warn({ memberId, domain, bound, unbound, refused, error }, 'portal is not subscribed to all events')
  else log.info({ memberId, domain, bound, unbound }, 'portal subscribed')
}
