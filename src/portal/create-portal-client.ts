import type { FastifyBaseLogger } from 'fastify'
import type { HttpDispatcher } from '../oauth/request.ts'
import type { InstallStore } from '../storage/install-store.ts'
import { AppCredentials } from '../oauth/app-credentials.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import { PlanLimits, type PortalLimitSettings } from './plan-limits.ts'
import type { PortalBuckets } from '../storage/call-rate-limits.ts'
import type { Locks } from '../storage/storage.ts'
import { openSubscriptions, type SubscriptionServices } from './subscriptions/open-subscriptions.ts'
import { createPageUserFetcher, type FetchPageUser } from './rest/page-user.ts'
import { PortalBlocks, type PortalBlock } from './rest/observed-limits.ts'
import type { AllowedNetworks } from './rest/address-guard.ts'
import { PortalRest } from './rest/rest.ts'
import { RestTransport } from './rest/rest-transport.ts'
import { KeepAlive } from './tokens/keep-alive.ts'
import type { PortalListener } from './tokens/access-state.ts'
import { Tokens } from './tokens/tokens.ts'
import type { Listeners, SubscriptionOptions } from './subscriptions/wanted-events.ts'

/** Whose tokens calls use first. */
export type ActAs = 'installer' | 'system'

export interface PortalClientOptions {
  clientId: string
  clientSecret: string
  oauthServers: readonly string[]
  allowPrivateNetworks: AllowedNetworks
  dispatcher?: HttpDispatcher | undefined
  publicUrl: string | undefined
  /** Full path prefix of the routes, including the scope's. */
  prefix: string
  subscriptions: SubscriptionOptions
  portalLimits: PortalLimitSettings
  actAs: ActAs
}

export interface PortalClientParts {
  /** `appId()` of the app. */
  app: string
  store: InstallStore
  locks: Locks
  buckets: PortalBuckets
  encryptor: Encryptor
  handlers: Listeners
  listener: PortalListener & { blocked (block: PortalBlock): void }
  log: FastifyBaseLogger
  /** Stops background work. */
  signal: AbortSignal
}

/** Services for calls to portals. */
export interface PortalServices {
  tokens: Tokens
  keys: AppCredentials
  rest: PortalRest
  /** Stores the plan named in the portal's `app.info`. */
  updatePlan: (memberId: string, appInfo: unknown) => Promise<void>
  blocks: PortalBlocks
  fetchPageUser: FetchPageUser
  subscriptionServices: SubscriptionServices
  /** Starts the token keep-alive, in worker processes. */
  start (): void
  close (): Promise<void>
}

/** Creates the services for calls to portals. State shared between processes lives in the storage. */
export function createPortalClient (settings: PortalClientOptions, { app, store, locks, buckets, encryptor, handlers, listener, log, signal }: PortalClientParts): PortalServices {
  const { clientId, clientSecret, oauthServers, allowPrivateNetworks, dispatcher, publicUrl, prefix, subscriptions: options, portalLimits, actAs } = settings
  const limits = new PlanLimits({ buckets, store, app, settings: portalLimits })
  const keys = new AppCredentials({ clientId, clientSecret, log, signal, dispatcher })
  const oauth = { clientId, clientSecret, allowedServers: oauthServers, dispatcher }
  const tokens = new Tokens({ store, locks, encryptor, oauth, listener, log, keys, actAs: actAs === 'system' ? 'systemUser' : 'installer' })
  const transport = new RestTransport({ allowPrivateNetworks, dispatcher })
  const blocks = new PortalBlocks({ onBlocked: listener.blocked })
  const rest = new PortalRest({ tokens, limits, transport, maxWaitMs: portalLimits.waitMs, blocks })
  // Until the plan is known, the default limits apply.
  const fetchPlan = async (memberId: string) => await rest.call(memberId, 'app.info').then(async appInfo => await limits.updatePlan(memberId, appInfo)).catch(() => {})
  const keepAlive = new KeepAlive({ store, tokens, log, signal })
  return {
    tokens,
    keys,
    rest,
    updatePlan: async (memberId, appInfo) => await limits.updatePlan(memberId, appInfo),
    blocks,
    fetchPageUser: createPageUserFetcher({ transport }),
    subscriptionServices: openSubscriptions({ rest, fetchPlan, store, handlers, publicUrl, prefix, options, log }),
    start: () => keepAlive.start(),
    close: async () => {
      keepAlive.stop()
      await tokens.close()
      await transport.close()
    }
  }
}
