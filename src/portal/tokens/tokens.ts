import { setMaxListeners } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_CLOSING, FST_B24_REAUTH_REQUIRED } from '../../errors.ts'
import type { Install, PairOwner } from '../../installs/install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { AppCredentials } from '../../oauth/app-credentials.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import { unavailable } from '../../oauth/request.ts'
import { settlesWithin } from '../../async/with-timeout.ts'
import { AccessRecord, type PortalListener, type Refusal, AccessState } from './access-state.ts'
import { withLock } from '../with-lock.ts'
import type { Locks } from '../../storage/locks.ts'
import { validPairs, otherOwner, type PortalAccess } from './portal-access.ts'
import { locatePortal, type OAuthKeys, TokenRefresh } from './token-refresh.ts'

export interface TokensParts {
  store: InstallStore
  locks: Locks
  encryptor: Encryptor
  oauth: OAuthKeys
  listener: PortalListener
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  /** @default one of its own */
  keys?: AppCredentials | undefined
  /** Whose pair is used first. @default 'systemUser' */
  actAs?: PairOwner | undefined
  /** @default Date.now */
  now?: (() => number) | undefined
  times?: Partial<TokenTimes> | undefined
}

export interface TokenTimes {
  /** Time after which others take over from a process that was killed in a refresh, ms. @default 5000 */
  lockMs: number
  /** Longest wait of a caller, ms. @default 10000 */
  waitMs: number
  /** Time in which the answer of a process that lost its lock may still arrive, ms. @default 2000 */
  graceMs: number
}

const MOVE_PATIENCE_MS = 3_000
const TIMES: TokenTimes = { lockMs: 5_000, waitMs: 10_000, graceMs: 2_000 }

/** The tokens to act on portals with. A pair is refreshed when it is needed, by one process at a time. */
export class Tokens {
  readonly #parts: TokensParts
  readonly #times: TokenTimes
  readonly #refresh: TokenRefresh
  readonly #record: AccessRecord
  readonly #standing: AccessState
  readonly #end = new AbortController()
  /** Refreshes and questions under way, by portal: who needs the same waits for them. */
  readonly #refreshes = new Map<string, Promise<PortalAccess>>()
  readonly #questions = new Map<string, Promise<Install>>()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #actAs: PairOwner
  #isClosed = false

  constructor (parts: TokensParts) {
    const { store, encryptor, oauth, listener, log, actAs = 'systemUser', now = Date.now, times } = parts
    this.#parts = parts
    this.#actAs = actAs
    this.#times = { ...TIMES, ...times }
    this.#record = new AccessRecord(store, now)
    const { graceMs } = this.#times
    const { signal } = this.#end
    setMaxListeners(0, signal)
    const record = this.#record
    const standing = this.#standing = new AccessState({ record, listener, log, now, signal })
    const keys = parts.keys ?? new AppCredentials({ ...oauth, log, now, signal })
    this.#refresh = new TokenRefresh({ store, record, standing, encryptor, oauth, keys, listener, log, actAs, now, graceMs, signal })
  }

  /**
   * A token of a portal that is good for a minute more. One read of the store, unless it must be refreshed.
   *
   * @throws FST_B24_REAUTH_REQUIRED also for a portal that is known by a webhook alone
   * @throws FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE,
   * FST_B24_DECRYPTION_FAILED, FST_B24_CLOSING
   */
  async access (memberId: string): Promise<PortalAccess> {
    return await this.#find(memberId, undefined)
  }

  /** Another token than the one that the portal refused: a newer one that is kept by now, or a new one. @throws as `access` */
  async renew (refused: PortalAccess): Promise<PortalAccess> {
    return await this.#find(refused.memberId, refused.generation, refused.owner)
  }

  /**
   * The token of the portal's other user, installer or system user, for what the first may not do; `undefined` when there is none.
   * Both pairs stay.
   *
   * @throws FST_B24_STORE_UNAVAILABLE and the like
   */
  async other ({ memberId, owner }: PortalAccess): Promise<PortalAccess | undefined> {
    const wanted = otherOwner(owner)
    const install = (await this.#parts.store.get(memberId))?.install
    if (install === undefined || !validPairs(install, wanted).some(pair => pair.owner === wanted)) return undefined
    const access = await this.#find(memberId, undefined, wanted)
    return access.owner === wanted ? access : undefined
  }

  /**
   * The token of another user, for one whose user the portal refuses; `undefined` when there is none. The pair of that user is
   * given up. `error` is the portal's word.
   *
   * @throws as `access`
   */
  async replace (refused: PortalAccess, error: string): Promise<PortalAccess | undefined> {
    await this.#keepWord(refused, this.#standing.discard(refused, error))
    const next = await this.access(refused.memberId).catch((error: unknown) => {
      if (!(error instanceof FST_B24_REAUTH_REQUIRED)) throw error
      return undefined
    })
    return next?.generation === refused.generation ? undefined : next
  }

  /** Keeps that the portal refuses the app, whoever it asks for. Never rejects. */
  async suspend (refused: PortalAccess, { reason, error }: Omit<Refusal, 'by'>): Promise<void> {
    await this.#keepWord(refused, this.#standing.suspend(refused, { reason, by: 'portal', error }))
  }

  /** Keeps that a portal that had refused the app took a token. Never rejects. */
  async resume (taken: PortalAccess): Promise<void> {
    await this.#keepWord(taken, this.#standing.resume(taken))
  }

  /**
   * The same token with the address of the portal as its OAuth server tells it now, for a portal that moved.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_STORE_UNAVAILABLE
   */
  async locate (access: PortalAccess): Promise<PortalAccess> {
    const known = (await this.#parts.store.get(access.memberId))?.install
    if (known === undefined) return access
    const isNews = known.clientEndpoint !== access.clientEndpoint || known.domain !== access.domain
    const { domain, clientEndpoint } = isNews ? known : await this.#ask(known, access.accessToken)
    return { ...access, domain, clientEndpoint }
  }

  /** The same token with another address of the same host, to which the portal redirects: kept, where the store takes it. */
  async move (access: PortalAccess, clientEndpoint: string): Promise<PortalAccess> {
    const { memberId, clientEndpoint: from } = access
    const limits = { patienceMs: MOVE_PATIENCE_MS, signal: this.#end.signal }
    await this.#keepWord(access, this.#record.write(memberId, { type: 'moved', from, clientEndpoint }, limits).then(() => {}))
    return { ...access, clientEndpoint }
  }

  /** Refreshes the pair of one user, unless that was done since `before`, ms since the epoch, or another is at it. @throws as `access` */
  async refreshIdle (memberId: string, owner: PairOwner, before: number): Promise<void> {
    if (this.#isClosed) throw new FST_B24_CLOSING()
    const work = async () => await this.#refresh.refreshIdle(memberId, owner, before).then(() => true)
    await this.#track(this.#locked(memberId, work, async () => true))
  }

  /** Takes nothing on, waits for the refreshes under way, and breaks off those that take too long. */
  async close (withinMs = 5_000): Promise<void> {
    this.#isClosed = true
    await settlesWithin(Promise.allSettled(this.#underWay), withinMs)
    this.#end.abort()
    await Promise.allSettled(this.#underWay)
  }

  async #find (memberId: string, refused: number | undefined, owner = this.#actAs): Promise<PortalAccess> {
    for (;;) {
      const kept = await this.#refresh.kept(memberId, refused, owner)
      if (kept !== undefined) return kept
      const access = await (this.#refreshes.get(keyOf(memberId, owner)) ?? this.#start(memberId, refused, owner))
      // It may be another's refresh, who did not know that this one is refused.
      if (access.generation !== refused) return access
    }
  }

  #start (memberId: string, refused: number | undefined, owner: PairOwner): Promise<PortalAccess> {
    if (this.#isClosed) throw new FST_B24_CLOSING()
    const work = () => this.#refresh.refresh(memberId, refused, owner)
    const refresh = this.#track(this.#locked(memberId, work, () => this.#refresh.kept(memberId, refused, owner)))
    return shared(this.#refreshes, keyOf(memberId, owner), refresh, this.#times.waitMs)
  }

  #ask (install: Install, accessToken: string): Promise<Install> {
    const { memberId } = install
    const locate = async (): Promise<Install> => {
      const parts = { record: this.#record, oauth: this.#parts.oauth, signal: this.#end.signal }
      const { outcome, install: located = install } = await locatePortal(install, accessToken, parts)
      const isRenamed = outcome === 'located' && located.domain !== install.domain
      if (isRenamed) this.#parts.listener.renamed(memberId, install.domain, located.domain)
      return located
    }
    return this.#questions.get(memberId) ?? shared(this.#questions, memberId, this.#track(locate()), this.#times.waitMs)
  }

  #locked<T> (memberId: string, work: () => Promise<T>, glance: () => Promise<T | undefined>): Promise<T> {
    const { lockMs, waitMs } = this.#times
    return withLock(this.#parts.locks, { name: `refresh:${memberId}`, lockMs, waitMs, signal: this.#end.signal }, work, glance)
  }

  /** What a portal says of the app is no secret to its next call: that it cannot be kept now fails nothing. */
  async #keepWord ({ memberId }: PortalAccess, work: Promise<void>): Promise<void> {
    await this.#track(work).catch(error => this.#parts.log.warn({ err: error, memberId }, 'what a portal says of the app is not kept'))
  }

  #track<T> (work: Promise<T>): Promise<T> {
    const settled = () => { this.#underWay.delete(work) }
    this.#underWay.add(work)
    work.then(settled, settled)
    return work
  }
}

function keyOf (memberId: string, owner: PairOwner): string {
  return `${owner} ${memberId}`
}

/** Keeps the work among what is under way until it ends, and bounds the wait for it; it goes on after that. */
function shared<T> (list: Map<string, Promise<T>>, name: string, work: Promise<T>, waitMs: number): Promise<T> {
  const answer = new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(unavailable('no answer yet')), waitMs)
    const settle = () => {
      clearTimeout(timer)
      list.delete(name)
    }
    work.then(value => { settle(); resolve(value) }, error => { settle(); reject(error) })
  })
  list.set(name, answer)
  return answer
}
