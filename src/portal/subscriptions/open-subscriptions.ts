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
  /** Asks a portal for its plan; never rejects. */
  fetchPlan?: ((memberId: string) => Promise<void>) | undefined
  store: Pick<InstallStore, 'get' | 'swap' | 'scan'>
  hooks: Listeners
  /** Checked by `checkPublicUrl()`. */
  publicUrl: string | undefined
  prefix: string
  /** Checked by `checkSubscriptions()`. */
  options: SubscriptionOptions
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
}

export interface SubscriptionServices {
  /** Without a `publicUrl` it rejects with FST_B24_NO_PUBLIC_URL, as `syncFleet` does. */
  subscriptions: Pick<Subscriptions, 'sync'>
  /** For `app.bitrix24.syncSubscriptions()`. */
  syncFleet: (options?: FleetSyncOptions) => Promise<FleetReport>
  /**
   * For the hooks `onInstall` and `onUpdate`: subscribes the portal. Rejects where another attempt may help; logs where not. `undefined`
   * without a `publicUrl`.
   */
  subscribe: ((fact: { portal: { memberId: string } }) => Promise<void>) | undefined
  /** Returns whether a portal is subscribed to what the code listens to, as far as is known. `undefined` without a `publicUrl`. */
  isInSync: ((install: Install) => boolean) | undefined
}

/** What passes by itself. */
const PASSING = [FST_B24_PORTAL_UNAVAILABLE, FST_B24_PORTAL_LIMIT, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE, FST_B24_CLOSING]

/** Puts the parts of the subscriptions together. */
export function openSubscriptions ({ rest, fetchPlan, store, hooks, publicUrl, prefix, options, log }: SubscriptionParts): SubscriptionServices {
  if (publicUrl === undefined) {
    const refuse = async () => { throw new FST_B24_NO_PUBLIC_URL('portals have to know where to post events') }
    return { subscriptions: { sync: refuse }, syncFleet: refuse, subscribe: undefined, isInSync: undefined }
  }
  const { offline, authConnector = '' } = options
  const wanted = () => wantedEvents(hooks, options)
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
      tell(report, log)
      if (failure === undefined) await fetchPlan?.(portal.memberId)
      if (PASSING.some(Passing => failure instanceof Passing)) throw failure
    }
  }
}

function tell ({ memberId, domain, bound, unbound, refused, error }: SyncReport, log: SubscriptionParts['log']): void {
  if (error !== undefined || refused.length > 0) log.warn({ memberId, domain, bound, unbound, refused, error }, 'a portal is not subscribed to all events')
  else log.info({ memberId, domain, bound, unbound }, 'a portal is subscribed')
}
