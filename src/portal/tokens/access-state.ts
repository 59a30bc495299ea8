import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_PORTAL_GONE, FST_B24_PORTAL_SUSPENDED, FST_B24_REAUTH_REQUIRED } from '../../errors.ts'
import { type AccessFact, type AccessTransition, applyAccessFact } from '../../installs/access-transitions.ts'
import type { Install, PairOwner, EncryptedPair, Suspension } from '../../installs/install.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'

/** Token and address for calls to a portal. Secret: never logged. */
export interface PortalAccess {
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  /** Origin of the OAuth server that issued the token. */
  oauthServer: string
  accessToken: string
  /** Expiry of the access token, ms since the epoch. */
  expiresAt: number
  /** Portal user the token acts for. */
  userId: number | undefined
  /** Incremented with each new pair of the portal. */
  generation: number
  owner: PairOwner
  /** The portal denied access last time: a success with this token ends the suspension. */
  isSuspended: boolean
}

export interface SelectedPair {
  owner: PairOwner
  pair: EncryptedPair
  generation: number
}

/** Pairs of a portal that are not known to be invalid, that of `first` first. */
export function validPairs (install: Install, first: PairOwner): SelectedPair[] {
  return [first, otherOwner(first)].flatMap((owner) => {
    const pair = install[owner]
    return pair === undefined || pair.isDead === true ? [] : [{ owner, pair, generation: pair.generation ?? 0 }]
  })
}

export function otherOwner (owner: PairOwner): PairOwner {
  return owner === 'installer' ? 'systemUser' : 'installer'
}

/**
 * Selects the pair for calls to a portal, preferably that of `first`; its access token may have expired.
 *
 * @throws FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE when the app has no access now
 */
export function selectPair (memberId: string, install: Install | undefined, now: number, first: PairOwner): { install: Install, selected: SelectedPair } {
  if (install === undefined) {
    throw new FST_B24_REAUTH_REQUIRED(memberId, 'the app is not installed there, and an outgoing webhook carries no token')
  }
  if (install.state === 'uninstalled') throw new FST_B24_PORTAL_GONE()
  const { suspension } = install
  if (suspension !== undefined && now < suspension.retryAt) {
    throw suspension.reason === 'uninstalled' ? new FST_B24_PORTAL_GONE() : new FST_B24_PORTAL_SUSPENDED(memberId)
  }
  const [selected] = validPairs(install, first)
  if (install.state === 'reauth_required' || selected === undefined) {
    throw new FST_B24_REAUTH_REQUIRED(memberId, 'a user of the portal must open or reinstall the app')
  }
  return { install, selected }
}

/** @throws FST_B24_DECRYPTION_FAILED */
export function toPortalAccess (install: Install, { owner, pair, generation }: SelectedPair, encryptor: Encryptor): PortalAccess {
  const { memberId, domain, clientEndpoint, oauthServer } = install
  const { accessToken, expiresAt } = encryptor.decrypt(pair.encrypted, memberId)
  return {
    memberId,
    domain,
    clientEndpoint,
    oauthServer,
    accessToken,
    expiresAt,
    userId: pair.userId,
    generation,
    owner,
    isSuspended: install.state === 'suspended'
  }
}

/** Notified of access changes of portals. Methods return at once and never throw. */
export interface PortalListener {
  /** The portal has no valid token left; called once. */
  reauthRequired (memberId: string): void
  renamed (memberId: string, from: string, to: string): void
  /** The OAuth server or the portal reports an unpaid plan or a removed app; called once until access is restored. */
  suspended (memberId: string): void
}

export interface WriteOptions {
  /** How long to retry on store outages and write conflicts, in milliseconds. */
  retryForMs: number
  /** Stops the retries. */
  signal: AbortSignal
}

const MAX_PAUSE_MS = 1000

/** Writes access facts into the install records of portals. */
export class AccessRecords {
  readonly #store: InstallStore
  readonly #now: () => number

  constructor (store: InstallStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /**
   * Applies a fact to the install record; resolves once it is stored durably.
   *
   * @throws FST_B24_STORE_UNAVAILABLE when `retryForMs` elapses first
   */
  async write (memberId: string, fact: AccessFact, { retryForMs, signal }: WriteOptions): Promise<AccessTransition> {
    const end = performance.now() + retryForMs
    let unsure: AccessTransition | undefined
    for (let pause = 25; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      let problem: unknown = new Error('too many concurrent writes')
      try {
        const stored = await this.#store.get(memberId)
        // A swap that failed may have been written anyway; applying the fact again would report it as stale.
        if (unsure !== undefined && isDeepStrictEqual(stored?.install, unsure.install)) return unsure
        const next = applyAccessFact(stored?.install, fact, this.#now())
        if (stored === undefined || next.install === undefined || next.install === stored.install) return next
        unsure = next
        if (await this.#store.swap(memberId, stored.version, next.install)) return next
        unsure = undefined
        pause = 1
      } catch (error) {
        problem = error
      }
      if (signal.aborted || performance.now() >= end) throw storeUnavailable(problem)
      await sleep(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
    }
  }
}

/** Identifies the token pair that a response refers to. */
export type PairRef = Pick<PortalAccess, 'memberId' | 'owner' | 'generation'>

/** Why the app is temporarily denied access to a portal. */
export interface Refusal {
  reason: Suspension['reason']
  /** Absent when the OAuth server reported it. */
  by?: 'portal'
  /** Bitrix24's error code. */
  error: string
}

export interface AccessStateParts {
  records: AccessRecords
  listener: PortalListener
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  now: () => number
  /** Aborts all work. */
  signal: AbortSignal
}

const WRITE_RETRY_MS = 3_000
/** Delay before a suspended portal is tried again, in milliseconds. */
const RETRY_MS: Record<Suspension['reason'], number> = { payment_required: 5 * 60_000, uninstalled: 60 * 60_000 }

/**
 * Stores whether the app has access to a portal, as reported by its OAuth server and the portal itself, and notifies the listener of changes,
 * once across all processes. All methods reject with FST_B24_STORE_UNAVAILABLE when the state cannot be stored.
 */
export class AccessState {
  readonly #parts: AccessStateParts

  constructor (parts: AccessStateParts) {
    this.#parts = parts
  }

  /** Suspends the portal until the next retry is due. */
  async suspend ({ memberId, owner, generation }: PairRef, { reason, by, error }: Refusal): Promise<void> {
    const { records, listener, log, now, signal } = this.#parts
    const suspension = { reason, retryAt: now() + RETRY_MS[reason], ...(by !== undefined && { by }) }
    const { outcome } = await records.write(memberId, { type: 'refused', owner, generation, suspension }, { retryForMs: WRITE_RETRY_MS, signal })
    if (outcome !== 'suspended') return
    log.warn({ memberId, reason, error }, by === 'portal' ? 'portal denied access to the app' : 'OAuth server refused to issue tokens for a portal')
    listener.suspended(memberId)
  }

  /** Marks the pair of one user as invalid. */
  async discard ({ memberId, owner, generation }: PairRef, error: string): Promise<void> {
    const { records, listener, log, signal } = this.#parts
    const { outcome } = await records.write(memberId, { type: 'revoked', owner, generation }, { retryForMs: WRITE_RETRY_MS, signal })
    if (outcome === 'stale') return
    log.warn({ memberId, owner, error }, 'token pair is no longer valid')
    if (outcome === 'reauth-required') listener.reauthRequired(memberId)
  }

  /** Ends the suspension: the portal accepted a token. */
  async resume ({ memberId, owner, generation }: PairRef): Promise<void> {
    const { records, log, signal } = this.#parts
    const { outcome } = await records.write(memberId, { type: 'answered', owner, generation }, { retryForMs: WRITE_RETRY_MS, signal })
    if (outcome === 'resumed') log.info({ memberId }, 'portal access restored')
  }
}
