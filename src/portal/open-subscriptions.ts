import type { FastifyBaseLogger } from 'fastify'
import type { InstallStore } from '../installs/store.ts'
import { FST_B24_PORTAL_UNAVAILABLE } from '../errors.ts'
import { type FleetReport, type FleetSyncOptions, syncFleet } from './fleet-sync.ts'
import type { Rest } from './rest.ts'
import { Subscriptions, type SyncReport } from './subscriptions.ts'
import { handlerUrlOf, type SubscriptionOptions, wantedEvents } from './wanted-events.ts'

export interface SubscriptionParts {
  rest: Pick<Rest, 'call'>
  store: Pick<InstallStore, 'get' | 'scan'>
  /** Codes that the app's hooks name. */
  hooks: { readonly codes: readonly string[] }
  publicUrl: string | undefined
  prefix: string
  /** Checked by `checkSubscriptions()`. */
  options: SubscriptionOptions
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
}

export interface OpenedSubscriptions {
  subscriptions: Subscriptions
  /** For `app.bitrix24.syncSubscriptions()`. */
  syncFleet: (options?: FleetSyncOptions) => Promise<FleetReport>
  /**
   * For the hooks `onInstall` and `onUpdate`: subscribes the portal. Rejects where another attempt may help; logs where not. Does nothing
   * without a `publicUrl`.
   */
  subscribe: (fact: { portal: { memberId: string } }) => Promise<void>
}

/** What passes by itself. */
const PASSING = /^(FST_B24_(PORTAL_UNAVAILABLE|PORTAL_LIMIT|OAUTH_UNAVAILABLE|STORE_UNAVAILABLE|CLOSING)|QUERY_LIMIT_EXCEEDED|OPERATION_TIME_LIMIT)$/

/**
 * Puts the parts of the subscriptions together.
 *
 * @throws FST_B24_INVALID_OPTIONS for a `publicUrl` that no portal would take
 */
export function openSubscriptions ({ rest, store, hooks, publicUrl, prefix, options, log }: SubscriptionParts): OpenedSubscriptions {
  const { offline, authConnector = '' } = options
  const subscriptions = new Subscriptions({
    rest,
    store,
    wanted: () => wantedEvents(hooks.codes, options),
    handlerUrl: publicUrl === undefined ? undefined : handlerUrlOf(publicUrl, prefix),
    offlineConnector: offline === undefined ? undefined : authConnector
  })
  return {
    subscriptions,
    syncFleet: async (options) => await syncFleet(subscriptions, store, options),
    subscribe: async ({ portal }) => {
      if (publicUrl === undefined) return
      const report = await subscriptions.sync(portal.memberId)
      tell(report, log)
      if (report.error !== undefined && PASSING.test(report.error.code)) throw new FST_B24_PORTAL_UNAVAILABLE(`not subscribed yet, ${report.error.message}`)
    }
  }
}

function tell ({ memberId, domain, bound, unbound, refused, error }: SyncReport, log: SubscriptionParts['log']): void {
  if (error !== undefined || refused.length > 0) log.warn({ memberId, domain, bound, unbound, refused, error }, 'a portal is not subscribed to all events')
  else log.info({ memberId, domain, bound, unbound }, 'a portal is subscribed')
}
