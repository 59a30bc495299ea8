import type { FastifyBaseLogger } from 'fastify'
import type { HttpDispatcher } from '../http-dispatcher.ts'
import type { InstallStore } from '../storage/install-store.ts'
import { AppCredentials } from '../oauth/app-credentials.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import { PlanLimits, type PortalLimitSettings } from './plan-limits.ts'
import type { PortalBuckets } from '../storage/limits.ts'
import type { Locks } from '../storage/locks.ts'
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

/** Whose tokens calls are made with first. */
export type ActAs = 'installer' | 'system'

export interface PortalClientOptions {
  clientId: string
  clientSecret: string
  oauthServers: readonly string[]
  allowPrivateNetworks: AllowedNetworks
  dispatcher?: HttpDispatcher | undefined
  publicUrl: string | undefined
  /** Path of the routes, that of the scope before it. */
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
  hooks: Listeners
  listener: PortalListener & { blocked (block: PortalBlock): void }
  log: FastifyBaseLogger
  /** Ends the keep-alive. */
  signal: AbortSignal
}

/** What portals are acted on with. */
export interface PortalServices {
  tokens: Tokens
  keys: AppCredentials
  rest: PortalRest
  /** Keeps what a portal says of its plan in `app.info`. */
  updatePlan: (memberId: string, appInfo: unknown) => Promise<void>
  blocks: PortalBlocks
  fetchPageUser: FetchPageUser
  subscriptionServices: SubscriptionServices
  /** Begins to keep tokens alive, in a process that works. */
  start (): void
  close (): Promise<void>
}

/** Puts together what acts on portals: what all processes of the app have to agree on is in the storage. */
export function createPortalClient (choice: PortalClientOptions, { app, store, locks, buckets, encryptor, hooks, listener, log, signal }: PortalClientParts): PortalServices {
  const { clientId, clientSecret, oauthServers, allowPrivateNetworks, dispatcher, publicUrl, prefix, subscriptions: options, portalLimits, actAs } = choice
  const limits = new PlanLimits({ buckets, store, app, settings: portalLimits })
  const keys = new AppCredentials({ clientId, clientSecret, log, signal, dispatcher })
  const oauth = { clientId, clientSecret, allowedServers: oauthServers, dispatcher }
  const tokens = new Tokens({ store, locks, encryptor, oauth, listener, log, keys, actAs: actAs === 'system' ? 'systemUser' : 'installer' })
  const transport = new RestTransport({ allowPrivateNetworks, dispatcher })
  const blocks = new PortalBlocks({ onBlocked: listener.blocked })
  const rest = new PortalRest({ tokens, limits, transport, mostWaitMs: portalLimits.waitMs, blocks })
  // Before it is known, the limits of the usual plans hold.
  const fetchPlan = async (memberId: string) => await rest.call(memberId, 'app.info').then(async appInfo => await limits.updatePlan(memberId, appInfo)).catch(() => {})
  const keepAlive = new KeepAlive({ store, tokens, log, signal })
  return {
    tokens,
    keys,
    rest,
    updatePlan: async (memberId, appInfo) => await limits.updatePlan(memberId, appInfo),
    blocks,
    fetchPageUser: createPageUserFetcher({ transport }),
    subscriptionServices: openSubscriptions({ rest, fetchPlan, store, hooks, publicUrl, prefix, options, log }),
    start: () => keepAlive.start(),
    close: async () => {
      keepAlive.stop()
      await tokens.close()
      await transport.close()
    }
  }
}
