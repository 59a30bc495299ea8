import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS } from '../../errors.ts'
import type { HttpDispatcher } from '../../http-dispatcher.ts'
import type { AccessTransition } from '../../installs/access-transitions.ts'
import type { Install, PairOwner } from '../../installs/install.ts'
import type { AppCredentials } from '../../oauth/app-credentials.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import { fetchAppInfo, type RefreshedPair, refreshGrant } from '../../oauth/oauth-server.ts'
import { unavailable } from '../../oauth/request.ts'
import type { OAuthErrorResponse } from '../../oauth/response.ts'
import type { AccessRecord, PortalListener, AccessState } from './access-state.ts'
import { toPortalAccess, validPairs, selectPair, type SelectedPair, type PortalAccess } from './portal-access.ts'
import type { InstallStore } from '../../storage/install-store.ts'

interface LocateParts {
  record: AccessRecord
  oauth: { clientId: string, allowedServers: readonly string[], dispatcher?: HttpDispatcher | undefined }
  signal: AbortSignal
}

const TIMEOUT_MS = 3_000
const PATIENCE_MS = 3_000

/**
 * Asks the OAuth server where a portal is now, and keeps the answer. What the portal itself, or who took over its old
 * address, says of it is not believed.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server does not tell, FST_B24_APP_KEYS, FST_B24_STORE_UNAVAILABLE
 */
export async function locatePortal (install: Install, accessToken: string, { record, oauth, signal }: LocateParts): Promise<AccessTransition> {
  const { memberId, oauthServer } = install
  const origin = allowedServer(oauthServer, oauth.allowedServers)
  const info = await fetchAppInfo(origin, accessToken, { timeoutMs: TIMEOUT_MS, signal, dispatcher: oauth.dispatcher })
  if (info.status === 'refused') throw unavailable(info.error)
  if (info.memberId !== memberId || info.clientId !== oauth.clientId) throw unavailable('an answer about another portal')
  const { clientEndpoint, domain } = info
  return await record.write(memberId, { type: 'located', clientEndpoint, domain }, { patienceMs: PATIENCE_MS, signal })
}

/** A server that was allowed when the portal installed may be no more. @throws FST_B24_APP_KEYS */
function allowedServer (origin: string, allowed: readonly string[]): string {
  if (allowed.includes(origin)) return origin
  throw new FST_B24_APP_KEYS(`${origin} is not among the option oauthServers`)
}

export interface OAuthKeys {
  clientId: string
  clientSecret: string
  /** Origins that may be given the secret. */
  allowedServers: readonly string[]
  /** Longest wait for an answer, ms: giving up too early loses the new pair, and with it the access to the portal. @default 30000 */
  timeoutMs?: number | undefined
  /** Sends the requests to it. @default that of `fetch` */
  dispatcher?: HttpDispatcher | undefined
}

export interface RefreshParts {
  store: InstallStore
  record: AccessRecord
  standing: AccessState
  encryptor: Encryptor
  oauth: OAuthKeys
  keys: AppCredentials
  listener: Pick<PortalListener, 'renamed'>
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Whose pair is used first. */
  actAs: PairOwner
  now: () => number
  /** Time in which the answer of a process that lost its lock may still arrive, ms. */
  graceMs: number
  /** Breaks everything off. */
  signal: AbortSignal
}

/** Rest of its hour that a token must have, ms. */
const MARGIN_MS = 60_000
/** Each round, another writer has changed the pair. */
const MOST_ROUNDS = 8
/** A new pair is nowhere else: the old one is dead. */
const KEEP_PATIENCE_MS = 300_000

/** Trades pairs for new ones. Its caller holds the lock of the portal; should that have lapsed, no newer pair is overwritten. */
export class TokenRefresh {
  readonly #parts: RefreshParts

  constructor (parts: RefreshParts) {
    this.#parts = parts
  }

  /**
   * The kept token, when it is good for a minute more and not the one that the portal `refused`.
   *
   * @throws FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE, FST_B24_DECRYPTION_FAILED, FST_B24_STORE_UNAVAILABLE
   */
  async kept (memberId: string, refused: number | undefined, owner?: PairOwner): Promise<PortalAccess | undefined> {
    const { install, used } = await this.#read(memberId, owner)
    return this.#goodOf(install, used, refused)
  }

  /** The kept token when it is good by now, or a new one. @throws as `kept`, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE */
  async refresh (memberId: string, refused: number | undefined, owner: PairOwner = this.#parts.actAs): Promise<PortalAccess> {
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const { install, used } = await this.#read(memberId, owner)
      const known = this.#goodOf(install, used, refused)
      if (known !== undefined) return known
      const next = await this.#trade(install, used)
      if (next !== undefined) return toPortalAccess(next, validPairs(next, owner)[0] as SelectedPair, this.#parts.encryptor)
    }
    throw unavailable('the pair changed all the time')
  }

  /** Trades the pair of one user, unless that was done since `before`, ms since the epoch. @throws as `refresh` */
  async refreshIdle (memberId: string, owner: PairOwner, before: number): Promise<void> {
    const { install } = await this.#read(memberId)
    const pair = validPairs(install, owner).find(pair => pair.owner === owner)
    if (pair !== undefined && refreshedAt(pair) < before) await this.#trade(install, pair)
  }

  async #read (memberId: string, owner = this.#parts.actAs): Promise<{ install: Install, used: SelectedPair }> {
    const stored = await this.#parts.store.get(memberId)
    return selectPair(memberId, stored?.install, this.#parts.now(), owner)
  }

  #goodOf (install: Install, used: SelectedPair, refused: number | undefined): PortalAccess | undefined {
    const isFresh = used.pair.expiresAt - this.#parts.now() > MARGIN_MS
    // What a portal refuses by itself, no new token would change.
    const isUsable = install.state === 'active' || install.suspension?.by === 'portal'
    return isFresh && used.generation !== refused && isUsable ? toPortalAccess(install, used, this.#parts.encryptor) : undefined
  }

  /** The record with the new pair; `undefined` when the record must be read again to know what to do. */
  async #trade (install: Install, used: SelectedPair): Promise<Install | undefined> {
    const { encryptor, oauth: { clientId, clientSecret, allowedServers, timeoutMs = 30_000 }, keys, now, signal } = this.#parts
    const { memberId, oauthServer } = install
    const origin = allowedServer(oauthServer, allowedServers)
    keys.check(memberId)
    const { refreshToken } = encryptor.decrypt(used.pair.sealed, memberId)
    const answer = await refreshGrant({ origin, clientId, clientSecret, refreshToken, timeoutMs, signal, now, dispatcher: this.#parts.oauth.dispatcher })
    if (answer.status === 'ok') {
      keys.accept(origin)
      return await this.#keep(install, used, answer)
    }
    await this.#takeRefusal(origin, memberId, used, answer)
    return undefined
  }

  /** @throws FST_B24_APP_KEYS when it is about the app itself */
  async #takeRefusal (origin: string, memberId: string, used: SelectedPair, { errorClass, error }: OAuthErrorResponse): Promise<void> {
    const { standing, keys } = this.#parts
    const asked = { memberId, owner: used.owner, generation: used.generation }
    if (errorClass === 'config' && !await keys.isAboutPortal(origin, error)) keys.reject(memberId, error)
    const reason = errorClass === 'config' ? 'uninstalled' : errorClass
    if (reason === 'payment_required' || reason === 'uninstalled') await standing.suspend(asked, { reason, error })
    else if (!await this.#isReplaced(memberId, used)) await standing.discard(asked, error)
  }

  async #keep (install: Install, { owner, pair: known, generation }: SelectedPair, answer: RefreshedPair): Promise<Install | undefined> {
    const { record, encryptor, listener, log, signal } = this.#parts
    const { memberId } = install
    if (answer.memberId !== undefined && answer.memberId !== memberId) throw unavailable('a pair of another portal')
    const { pair: { expiresAt, accessToken }, clientEndpoint, domain, scope, appStatus: status } = answer
    const { userId = known.userId } = answer
    const pair = { sealed: encryptor.encrypt(answer.pair, memberId), expiresAt, ...(userId !== undefined && { userId }) }
    const fact = { type: 'refreshed' as const, owner, generation, pair, clientEndpoint, domain, scope, status }
    const { outcome, install: next } = await record.write(memberId, fact, { patienceMs: KEEP_PATIENCE_MS, signal })
    if (outcome !== 'refreshed' || next === undefined) {
      log.warn({ memberId, owner }, 'discarded late refresh response, newer tokens already stored')
      return undefined
    }
    if (clientEndpoint === undefined || clientEndpoint === install.clientEndpoint) return next
    // Where the server does not say the domain, the address does.
    const { install: located = next } = await locatePortal(next, accessToken, this.#parts).catch(() => ({ install: next }))
    if (located.domain !== install.domain) listener.renamed(memberId, install.domain, located.domain)
    return located
  }

  /** A process that stood still, and lost its lock by that, may be the one that has the new pair. */
  async #isReplaced (memberId: string, { owner, generation }: SelectedPair): Promise<boolean> {
    const { store, graceMs, signal } = this.#parts
    const end = performance.now() + graceMs
    for (;;) {
      const pair = (await store.get(memberId))?.install[owner]
      if ((pair?.generation ?? 0) !== generation) return true
      if (performance.now() >= end) return false
      await sleep(25 + Math.random() * 75, undefined, { signal }).catch(() => { throw unavailable('broken off') })
    }
  }
}

/** When a pair was made, as far as it is known, ms since the epoch. */
export function refreshedAt ({ pair: { refreshedAt, expiresAt } }: SelectedPair): number {
  return refreshedAt ?? expiresAt - 3_600_000
}
