import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS } from '../../errors.ts'
import type { AccessTransition } from '../../installs/access-transitions.ts'
import type { Install, PairOwner } from '../../installs/install.ts'
import type { AppCredentials } from '../../oauth/app-credentials.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import { fetchAppInfo, type RefreshedPair, refreshGrant } from '../../oauth/oauth-server.ts'
import { type HttpDispatcher, unavailable } from '../../oauth/request.ts'
import type { OAuthErrorResponse } from '../../oauth/response.ts'
import {
  type AccessRecords, type AccessState, type PortalAccess, type PortalListener, type SelectedPair, selectPair, toPortalAccess, validPairs
} from './access-state.ts'
import type { InstallStore } from '../../storage/install-store.ts'

interface LocateParts {
  records: AccessRecords
  oauth: { clientId: string, allowedServers: readonly string[], dispatcher?: HttpDispatcher | undefined }
  signal: AbortSignal
}

const LOCATE_TIMEOUT_MS = 3_000
const LOCATE_WRITE_MS = 3_000

/**
 * Asks the OAuth server for the current address of a portal, and stores it. The portal's own word is not trusted: somebody else may have taken
 * over its old address.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_STORE_UNAVAILABLE
 */
export async function locatePortal (install: Install, accessToken: string, { records, oauth, signal }: LocateParts): Promise<AccessTransition> {
  const { memberId, oauthServer } = install
  const origin = allowedServer(oauthServer, oauth.allowedServers)
  const info = await fetchAppInfo(origin, accessToken, { timeoutMs: LOCATE_TIMEOUT_MS, signal, dispatcher: oauth.dispatcher })
  if (info.status === 'refused') throw unavailable(info.error)
  if (info.memberId !== memberId || info.clientId !== oauth.clientId) throw unavailable('response about another portal')
  const { clientEndpoint, domain } = info
  return await records.write(memberId, { type: 'located', clientEndpoint, domain }, { retryForMs: LOCATE_WRITE_MS, signal })
}

/** The allowed servers may have changed since the portal installed the app. @throws FST_B24_APP_KEYS */
function allowedServer (origin: string, allowed: readonly string[]): string {
  if (allowed.includes(origin)) return origin
  throw new FST_B24_APP_KEYS(`${origin} is not in the option oauthServers`)
}

export interface OAuthKeys {
  clientId: string
  clientSecret: string
  /** Origins the client secret may be sent to. */
  allowedServers: readonly string[]
  /** Request timeout in milliseconds: aborting too early loses the new pair, and with it access to the portal. @default 30000 */
  timeoutMs?: number | undefined
  /** Sends the requests. @default that of `fetch` */
  dispatcher?: HttpDispatcher | undefined
}

export interface RefreshParts {
  store: InstallStore
  records: AccessRecords
  accessState: AccessState
  encryptor: Encryptor
  oauth: OAuthKeys
  keys: AppCredentials
  listener: Pick<PortalListener, 'renamed'>
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Whose pair to prefer. */
  actAs: PairOwner
  now: () => number
  /** How long to wait for the result of a process that lost its lock, in milliseconds. */
  graceMs: number
  /** Aborts all work. */
  signal: AbortSignal
}

/** Remaining lifetime below which a token is refreshed, in milliseconds. */
const MIN_LIFETIME_MS = 60_000
/** Each round means that another writer changed the pair. */
const MAX_ROUNDS = 8
/** Long, because the old pair is invalid and the new one exists only in memory. */
const NEW_PAIR_WRITE_MS = 300_000

/** Refreshes token pairs. The caller holds the portal's lock; if the lock expires, newer pairs are still never overwritten. */
export class TokenRefresh {
  readonly #parts: RefreshParts

  constructor (parts: RefreshParts) {
    this.#parts = parts
  }

  /**
   * Returns the stored token if it is valid for another minute and not the one (by generation) that the portal `refused`.
   *
   * @throws FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE, FST_B24_DECRYPTION_FAILED, FST_B24_STORE_UNAVAILABLE
   */
  async stored (memberId: string, refused: number | undefined, owner?: PairOwner): Promise<PortalAccess | undefined> {
    const { install, selected } = await this.#read(memberId, owner)
    return this.#usable(install, selected, refused)
  }

  /** Returns the stored token if valid, else a new one. @throws as `stored`, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE */
  async refresh (memberId: string, refused: number | undefined, owner: PairOwner = this.#parts.actAs): Promise<PortalAccess> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { install, selected } = await this.#read(memberId, owner)
      const known = this.#usable(install, selected, refused)
      if (known !== undefined) return known
      const next = await this.#exchange(install, selected)
      if (next !== undefined) return toPortalAccess(next, validPairs(next, owner)[0] as SelectedPair, this.#parts.encryptor)
    }
    throw unavailable('too many concurrent changes of the token pair')
  }

  /** Refreshes the pair of one user, unless it was refreshed since `before` (ms since the epoch). @throws as `refresh` */
  async refreshIdle (memberId: string, owner: PairOwner, before: number): Promise<void> {
    const { install } = await this.#read(memberId)
    const pair = validPairs(install, owner).find(pair => pair.owner === owner)
    if (pair !== undefined && refreshedAt(pair) < before) await this.#exchange(install, pair)
  }

  async #read (memberId: string, owner = this.#parts.actAs): Promise<{ install: Install, selected: SelectedPair }> {
    const stored = await this.#parts.store.get(memberId)
    return selectPair(memberId, stored?.install, this.#parts.now(), owner)
  }

  #usable (install: Install, selected: SelectedPair, refused: number | undefined): PortalAccess | undefined {
    const isFresh = selected.pair.expiresAt - this.#parts.now() > MIN_LIFETIME_MS
    // A new token would not lift a suspension reported by the portal itself.
    const isUsable = install.state === 'active' || install.suspension?.by === 'portal'
    return isFresh && selected.generation !== refused && isUsable ? toPortalAccess(install, selected, this.#parts.encryptor) : undefined
  }

  /** Returns the install with the new pair; `undefined` when the record must be read again. */
  async #exchange (install: Install, selected: SelectedPair): Promise<Install | undefined> {
    const { encryptor, oauth: { clientId, clientSecret, allowedServers, timeoutMs = 30_000 }, keys, now, signal } = this.#parts
    const { memberId, oauthServer } = install
    const origin = allowedServer(oauthServer, allowedServers)
    keys.check(memberId)
    const { refreshToken } = encryptor.decrypt(selected.pair.encrypted, memberId)
    const response = await refreshGrant({ origin, clientId, clientSecret, refreshToken, timeoutMs, signal, now, dispatcher: this.#parts.oauth.dispatcher })
    if (response.status === 'ok') {
      keys.accept(origin)
      return await this.#storePair(install, selected, response)
    }
    await this.#handleError(origin, memberId, selected, response)
    return undefined
  }

  /** @throws FST_B24_APP_KEYS when the error is about the app itself */
  async #handleError (origin: string, memberId: string, selected: SelectedPair, { errorClass, error }: OAuthErrorResponse): Promise<void> {
    const { accessState, keys } = this.#parts
    const pairRef = { memberId, owner: selected.owner, generation: selected.generation }
    if (errorClass === 'config' && !await keys.isAboutPortal(origin, error)) keys.reject(memberId, error)
    const reason = errorClass === 'config' ? 'uninstalled' : errorClass
    if (reason === 'payment_required' || reason === 'uninstalled') await accessState.suspend(pairRef, { reason, error })
    else if (!await this.#isReplaced(memberId, selected)) await accessState.discard(pairRef, error)
  }

  async #storePair (install: Install, { owner, pair: known, generation }: SelectedPair, response: RefreshedPair): Promise<Install | undefined> {
    const { records, encryptor, listener, log, signal } = this.#parts
    const { memberId } = install
    if (response.memberId !== undefined && response.memberId !== memberId) throw unavailable('token pair of another portal')
    const { pair: { expiresAt, accessToken }, clientEndpoint, domain, scope, appStatus: status } = response
    const { userId = known.userId } = response
    const pair = { encrypted: encryptor.encrypt(response.pair, memberId), expiresAt, ...(userId !== undefined && { userId }) }
    const fact = { type: 'refreshed' as const, owner, generation, pair, clientEndpoint, domain, scope, status }
    const { outcome, install: next } = await records.write(memberId, fact, { retryForMs: NEW_PAIR_WRITE_MS, signal })
    if (outcome !== 'refreshed' || next === undefined) {
      log.warn({ memberId, owner }, 'discarded late refresh response, newer tokens already stored')
      return undefined
    }
    if (clientEndpoint === undefined || clientEndpoint === install.clientEndpoint) return next
    // The response may lack the domain; the address contains it.
    const { install: located = next } = await locatePortal(next, accessToken, this.#parts).catch(() => ({ install: next }))
    if (located.domain !== install.domain) listener.renamed(memberId, install.domain, located.domain)
    return located
  }

  /** A process that stalled and lost its lock may be storing the new pair right now. */
  async #isReplaced (memberId: string, { owner, generation }: SelectedPair): Promise<boolean> {
    const { store, graceMs, signal } = this.#parts
    const end = performance.now() + graceMs
    for (;;) {
      const pair = (await store.get(memberId))?.install[owner]
      if ((pair?.generation ?? 0) !== generation) return true
      if (performance.now() >= end) return false
      await sleep(25 + Math.random() * 75, undefined, { signal }).catch(() => { throw unavailable('aborted') })
    }
  }
}

/** When a pair was issued, ms since the epoch; estimated from its expiry for old records. */
export function refreshedAt ({ pair: { refreshedAt, expiresAt } }: SelectedPair): number {
  return refreshedAt ?? expiresAt - 3_600_000
}
