import type { FastifyBaseLogger } from 'fastify'
import type { InstallStore } from '../installs/store.ts'
import type { Sealer } from '../oauth/seal.ts'
import type { BoundedClient } from '../redis/client.ts'
import { appId } from '../redis/keys.ts'
import { EmbeddedLocks } from './embedded-locks.ts'
import { LocalLimits } from './local-limits.ts'
import type { Locks } from './locks.ts'
import { openSubscriptions, type OpenedSubscriptions } from './open-subscriptions.ts'
import { RedisLimits } from './redis-limits.ts'
import { RedisLocks } from './redis-locks.ts'
import { PortalRest } from './rest.ts'
import type { Told } from './token-refresh.ts'
import { Tokens } from './tokens.ts'
import type { SubscriptionOptions } from './wanted-events.ts'

export interface ActingChoice {
  clientId: string
  clientSecret: string
  dataDir: string
  oauthServers: readonly string[]
  allowPrivateNetworks: boolean
  publicUrl: string | undefined
  /** Path of the routes, that of the scope before it. */
  prefix: string
  subscriptions: SubscriptionOptions
}

export interface ActingParts {
  store: InstallStore
  sealer: Sealer
  /** Codes that the app's hooks name. */
  hooks: { readonly codes: readonly string[] }
  told: Told
  log: FastifyBaseLogger
  /** Ends the keep-alive. */
  signal: AbortSignal
}

/** What portals are acted on with. */
export interface Acting {
  tokens: Tokens
  rest: PortalRest
  locks: Locks
  subscribing: OpenedSubscriptions
  /** Begins to keep tokens alive, in a process that works. */
  start (): void
  close (): Promise<void>
}

/** Between two looks for tokens that nobody has used for months, ms. */
const KEEP_ALIVE_MS = 6 * 60 * 60 * 1000

/**
 * Puts together what acts on portals: in Redis, or in the folder, is what all processes of the app have to agree on.
 *
 * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_INVALID_OPTIONS
 */
export async function openActing (choice: ActingChoice, { store, sealer, hooks, told, log, signal }: ActingParts, client: BoundedClient | undefined): Promise<Acting> {
  const { clientId, clientSecret, dataDir, oauthServers, allowPrivateNetworks, publicUrl, prefix, subscriptions: options } = choice
  const app = appId(clientId)
  const embedded = client === undefined ? await EmbeddedLocks.open(dataDir, app) : undefined
  const locks = client === undefined ? embedded as Locks : new RedisLocks(client, app)
  const limits = client === undefined ? new LocalLimits() : new RedisLimits(client, app)
  const tokens = new Tokens({ store, locks, sealer, oauth: { clientId, clientSecret, allowedServers: oauthServers, signal }, told, log })
  const rest = new PortalRest({ tokens, limits, allowPrivateNetworks })
  let timer: NodeJS.Timeout | undefined
  return {
    tokens,
    rest,
    locks,
    subscribing: openSubscriptions({ rest, store, hooks, publicUrl, prefix, options, log }),
    start: () => {
      timer ??= setInterval(async () => await tokens.keepAlive(), KEEP_ALIVE_MS).unref()
    },
    close: async () => {
      clearInterval(timer)
      await tokens.close()
      rest.close()
      await embedded?.end()
    }
  }
}
