import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS } from '../errors.ts'
import type { Install, PairOwner, Suspension } from '../installs/install.ts'
import type { InstallStore } from '../installs/store.ts'
import type { OAuthRefusal } from '../oauth/error-class.ts'
import { unavailable } from '../oauth/request.ts'
import type { Sealer } from '../oauth/seal.ts'
import { refreshGrant, type RefreshedPair } from '../oauth/token-endpoint.ts'
import type { AccessRecord } from './access-record.ts'
import { allowedServer, locatePortal } from './portal-address.ts'
import { accessOf, livePairs, pairInUse, type PairInUse, type PortalAccess } from './portal-access.ts'

export interface OAuthKeys {
  clientId: string
  clientSecret: string
  /** Origins that may be given the secret. */
  allowedServers: readonly string[]
  /** Longest wait for an answer, ms: who gives up too early loses the new pair, and with it the chain. @default 30000 */
  timeoutMs?: number | undefined
}

/** What is told of a portal. Nobody waits for it. */
export interface Told {
  /** No token of the portal is good any more; told once. */
  reauthRequired (memberId: string): unknown
  renamed (memberId: string, from: string, to: string): unknown
  /** The portal must pay, or is gone as the OAuth server says; told once, until it is back. */
  suspended (memberId: string): unknown
}

export interface RefreshParts {
  store: InstallStore
  record: AccessRecord
  sealer: Sealer
  oauth: OAuthKeys
  told: Told
  /** Runs what tells, now or soon; whatever it does, it fails nothing. */
  tell (what: () => unknown): void
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
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
const PATIENCE_MS = 3_000
/** Until the OAuth server is asked again about a portal that it makes no tokens for, ms. */
const RETRY_MS: Record<Suspension['reason'], number> = { payment_required: 5 * 60_000, uninstalled: 60 * 60_000 }

/** Trades pairs for new ones. Its caller holds the lock of the portal; should that have lapsed, no newer pair is overwritten. */
export class TokenRefresh {
  readonly #parts: RefreshParts

  constructor (parts: RefreshParts) {
    this.#parts = parts
  }

  /**
   * The kept token, when it is good for a minute more and not the one that the portal `refused`.
   *
   * @throws FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE, FST_B24_SEAL_UNREADABLE, FST_B24_STORE_UNAVAILABLE
   */
  async kept (memberId: string, refused: number | undefined): Promise<PortalAccess | undefined> {
    const { install, used } = await this.#read(memberId)
    return this.#goodOf(install, used, refused)
  }

  /** The kept token when it is good by now, or a new one. @throws as `kept`, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE */
  async refresh (memberId: string, refused: number | undefined): Promise<PortalAccess> {
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const { install, used } = await this.#read(memberId)
      const known = this.#goodOf(install, used, refused)
      if (known !== undefined) return known
      const next = await this.#trade(install, used)
      if (next !== undefined) return accessOf(next, livePairs(next)[0] as PairInUse, this.#parts.sealer)
    }
    throw unavailable('the pair changed all the time')
  }

  /** Trades the pair of one user, unless that was done since `before`, ms since the epoch. @throws as `refresh` */
  async keepAlive (memberId: string, owner: PairOwner, before: number): Promise<void> {
    const { install } = await this.#read(memberId)
    const pair = livePairs(install).find(pair => pair.owner === owner)
    if (pair !== undefined && refreshedAt(pair) < before) await this.#trade(install, pair)
  }

  async #read (memberId: string): Promise<{ install: Install, used: PairInUse }> {
    const stored = await this.#parts.store.get(memberId)
    return pairInUse(memberId, stored?.install, this.#parts.now())
  }

  #goodOf (install: Install, used: PairInUse, refused: number | undefined): PortalAccess | undefined {
    const isFresh = used.pair.expiresAt - this.#parts.now() > MARGIN_MS
    return isFresh && used.generation !== refused && install.state === 'active' ? accessOf(install, used, this.#parts.sealer) : undefined
  }

  /** The record with the new pair; `undefined` when the record must be read again to know what to do. */
  async #trade (install: Install, used: PairInUse): Promise<Install | undefined> {
    const { sealer, oauth: { clientId, clientSecret, allowedServers, timeoutMs = 30_000 }, log, now, signal } = this.#parts
    const { memberId, oauthServer } = install
    const origin = allowedServer(oauthServer, allowedServers)
    const { refreshToken } = sealer.open(used.pair.sealed, memberId)
    const answer = await refreshGrant({ origin, clientId, clientSecret, refreshToken, timeoutMs, signal, now })
    if (answer.status === 'ok') return await this.#keep(install, used, answer)
    switch (answer.errorClass) {
      case 'config':
        log.error({ memberId, error: answer.error }, 'the OAuth server refuses the app itself')
        throw new FST_B24_APP_KEYS(answer.error)
      case 'payment_required':
      case 'uninstalled': return await this.#suspend(memberId, used, answer.errorClass)
      default: return await this.#bury(memberId, used, answer)
    }
  }

  async #keep (install: Install, { owner, pair: known, generation }: PairInUse, answer: RefreshedPair): Promise<Install | undefined> {
    const { record, sealer, told, log, signal } = this.#parts
    const { memberId } = install
    if (answer.memberId !== memberId) throw unavailable('a pair of another portal')
    const { pair: { expiresAt, accessToken }, clientEndpoint, domain, scope, appStatus: status } = answer
    const { userId = known.userId } = answer
    const pair = { sealed: sealer.seal(answer.pair, memberId), expiresAt, ...(userId !== undefined && { userId }) }
    const fact = { type: 'refreshed' as const, owner, generation, pair, clientEndpoint, domain, scope, status }
    const { outcome, install: next } = await record.write(memberId, fact, { patienceMs: KEEP_PATIENCE_MS, signal })
    if (outcome !== 'refreshed' || next === undefined) {
      log.warn({ memberId, owner }, 'a refresh was answered too late: a newer pair is kept')
      return undefined
    }
    if (clientEndpoint === install.clientEndpoint) return next
    // Where the server does not say the domain, the address does.
    const { install: located = next } = await locatePortal(next, accessToken, this.#parts).catch(() => ({ install: next }))
    if (located.domain !== install.domain) this.#parts.tell(() => told.renamed(memberId, install.domain, located.domain))
    return located
  }

  async #suspend (memberId: string, { owner, generation }: PairInUse, reason: Suspension['reason']): Promise<undefined> {
    const { record, told, log, now, signal } = this.#parts
    const suspension = { reason, retryAt: now() + RETRY_MS[reason] }
    const { outcome } = await record.write(memberId, { type: 'refused', owner, generation, suspension }, { patienceMs: PATIENCE_MS, signal })
    if (outcome !== 'suspended') return
    log.warn({ memberId, reason }, 'the OAuth server makes no tokens for a portal')
    this.#parts.tell(() => told.suspended(memberId))
  }

  async #bury (memberId: string, used: PairInUse, { error }: OAuthRefusal): Promise<undefined> {
    const { record, told, log, signal } = this.#parts
    if (await this.#isReplaced(memberId, used)) return
    const { owner, generation } = used
    const { outcome } = await record.write(memberId, { type: 'revoked', owner, generation }, { patienceMs: PATIENCE_MS, signal })
    if (outcome === 'stale') return
    log.warn({ memberId, owner, error }, 'a refresh token is good no more')
    if (outcome === 'reauth-required') this.#parts.tell(() => told.reauthRequired(memberId))
  }

  /** A process that stood still, and lost its lock by that, may be the one that has the new pair. */
  async #isReplaced (memberId: string, { owner, generation }: PairInUse): Promise<boolean> {
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
export function refreshedAt ({ pair: { refreshedAt, expiresAt } }: PairInUse): number {
  return refreshedAt ?? expiresAt - 3_600_000
}
