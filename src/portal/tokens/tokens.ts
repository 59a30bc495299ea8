import { setMaxListeners } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_CLOSING, FST_B24_REAUTH_REQUIRED } from '../../errors.ts'
import type { Install, PairOwner } from '../../installs/install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { AppCredentials } from '../../oauth/app-credentials.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import { unavailable } from '../../oauth/request.ts'
import { settlesWithin } from '../../async/with-timeout.ts'
import { AccessRecords, AccessState, otherOwner, type PortalAccess, type PortalListener, type Refusal, validPairs } from './access-state.ts'
import { withLock } from '../with-lock.ts'
import type { Locks } from '../../storage/storage.ts'
import { locatePortal, type OAuthKeys, TokenRefresh } from './token-refresh.ts'

export interface TokensParts {
  store: InstallStore
  locks: Locks
  encryptor: Encryptor
  oauth: OAuthKeys
  listener: PortalListener
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  /** @default a new instance */
  keys?: AppCredentials | undefined
  /** Whose pair to prefer. @default 'systemUser' */
  actAs?: PairOwner | undefined
  /** @default Date.now */
  now?: (() => number) | undefined
  times?: Partial<TokenTimes> | undefined
}

export interface TokenTimes {
  /** Lock TTL, in milliseconds: how soon another process can take over after a crash. @default 5000 */
  lockMs: number
  /** How long a caller waits for a refresh, in milliseconds. @default 10000 */
  waitMs: number
  /** How long to wait for the result of a process that lost its lock, in milliseconds. @default 2000 */
  graceMs: number
}

const MOVE_WRITE_MS = 3_000
const DEFAULT_TIMES: TokenTimes = { lockMs: 5_000, waitMs: 10_000, graceMs: 2_000 }

/** Access tokens of portals. Refreshes a pair on demand, in one process at a time. */
export class Tokens {
  readonly #parts: TokensParts
  readonly #times: TokenTimes
  readonly #refresh: TokenRefresh
  readonly #records: AccessRecords
  readonly #accessState: AccessState
  readonly #end = new AbortController()
  /** Refreshes and address lookups under way, shared by concurrent callers. */
  readonly #refreshes = new Map<string, Promise<PortalAccess>>()
  readonly #lookups = new Map<string, Promise<Install>>()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #actAs: PairOwner
  #isClosed = false

  constructor (parts: TokensParts) {
    const { store, encryptor, oauth, listener, log, actAs = 'systemUser', now = Date.now, times } = parts
    this.#parts = parts
    this.#actAs = actAs
    this.#times = { ...DEFAULT_TIMES, ...times }
    this.#records = new AccessRecords(store, now)
    const { graceMs } = this.#times
    const { signal } = this.#end
    setMaxListeners(0, signal)
    const records = this.#records
    const accessState = this.#accessState = new AccessState({ records, listener, log, now, signal })
    const keys = parts.keys ?? new AppCredentials({ ...oauth, log, now, signal })
    this.#refresh = new TokenRefresh({ store, records, accessState, encryptor, oauth, keys, listener, log, actAs, now, graceMs, signal })
  }

  /**
   * Returns a token that is valid for another minute. Reads the store once, unless a refresh is needed.
   *
   * @throws FST_B24_REAUTH_REQUIRED also for a portal known only by an outgoing webhook
   * @throws FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE,
   * FST_B24_DECRYPTION_FAILED, FST_B24_CLOSING
   */
  async access (memberId: string): Promise<PortalAccess> {
    return await this.#find(memberId, undefined)
  }

  /** Returns a newer token than the one the portal refused: stored meanwhile, or refreshed now. @throws as `access` */
  async renew (refused: PortalAccess): Promise<PortalAccess> {
    return await this.#find(refused.memberId, refused.generation, refused.owner)
  }

  /**
   * Returns the token of the portal's other user (installer or system user), which may have other permissions; `undefined` if there is none.
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
   * Marks a pair as invalid after the portal refused its user, and returns the token of the other user; `undefined` if there is none.
   * `error` is the portal's error code.
   *
   * @throws as `access`
   */
  async replace (refused: PortalAccess, error: string): Promise<PortalAccess | undefined> {
    await this.#persistStatus(refused, this.#accessState.discard(refused, error))
    const next = await this.access(refused.memberId).catch((error: unknown) => {
      if (!(error instanceof FST_B24_REAUTH_REQUIRED)) throw error
      return undefined
    })
    return next?.generation === refused.generation ? undefined : next
  }

  /** Records that the portal denies access to the app, whatever the user. Never rejects. */
  async suspend (refused: PortalAccess, { reason, error }: Omit<Refusal, 'by'>): Promise<void> {
    await this.#persistStatus(refused, this.#accessState.suspend(refused, { reason, by: 'portal', error }))
  }

  /** Records that a suspended portal accepted a token. Never rejects. */
  async resume (accepted: PortalAccess): Promise<void> {
    await this.#persistStatus(accepted, this.#accessState.resume(accepted))
  }

  /**
   * Returns the same token with the portal's current address, as its OAuth server states it.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_STORE_UNAVAILABLE
   */
  async locate (access: PortalAccess): Promise<PortalAccess> {
    const known = (await this.#parts.store.get(access.memberId))?.install
    if (known === undefined) return access
    const isChanged = known.clientEndpoint !== access.clientEndpoint || known.domain !== access.domain
    const { domain, clientEndpoint } = isChanged ? known : await this.#lookUp(known, access.accessToken)
    return { ...access, domain, clientEndpoint }
  }

  /** Returns the same token with the address the portal redirects to on the same host. Never rejects, even if it cannot be stored. */
  async move (access: PortalAccess, clientEndpoint: string): Promise<PortalAccess> {
    const { memberId, clientEndpoint: from } = access
    const limits = { retryForMs: MOVE_WRITE_MS, signal: this.#end.signal }
    await this.#persistStatus(access, this.#records.write(memberId, { type: 'moved', from, clientEndpoint }, limits).then(() => {}))
    return { ...access, clientEndpoint }
  }

  /** Refreshes the pair of one user, unless it was refreshed since `before` (ms since the epoch) or is being refreshed. @throws as `access` */
  async refreshIdle (memberId: string, owner: PairOwner, before: number): Promise<void> {
    if (this.#isClosed) throw new FST_B24_CLOSING()
    const work = async () => await this.#refresh.refreshIdle(memberId, owner, before).then(() => true)
    await this.#track(this.#locked(memberId, work, async () => true))
  }

  /** Rejects new refreshes, waits for those under way, and aborts the rest after `withinMs`. */
  async close (withinMs = 5_000): Promise<void> {
    this.#isClosed = true
    await settlesWithin(Promise.allSettled(this.#underWay), withinMs)
    this.#end.abort()
    await Promise.allSettled(this.#underWay)
  }

  async #find (memberId: string, refused: number | undefined, owner = this.#actAs): Promise<PortalAccess> {
    for (;;) {
      const stored = await this.#refresh.stored(memberId, refused, owner)
      if (stored !== undefined) return stored
      const access = await (this.#refreshes.get(keyOf(memberId, owner)) ?? this.#start(memberId, refused, owner))
      // A shared refresh may return the refused token: its first caller did not know.
      if (access.generation !== refused) return access
    }
  }

  #start (memberId: string, refused: number | undefined, owner: PairOwner): Promise<PortalAccess> {
    if (this.#isClosed) throw new FST_B24_CLOSING()
    const work = () => this.#refresh.refresh(memberId, refused, owner)
    const refresh = this.#track(this.#locked(memberId, work, () => this.#refresh.stored(memberId, refused, owner)))
    return share(this.#refreshes, keyOf(memberId, owner), refresh, this.#times.waitMs)
  }

  #lookUp (install: Install, accessToken: string): Promise<Install> {
    const { memberId } = install
    const locate = async (): Promise<Install> => {
      const parts = { records: this.#records, oauth: this.#parts.oauth, signal: this.#end.signal }
      const { outcome, install: located = install } = await locatePortal(install, accessToken, parts)
      const isRenamed = outcome === 'located' && located.domain !== install.domain
      if (isRenamed) this.#parts.listener.renamed(memberId, install.domain, located.domain)
      return located
    }
    return this.#lookups.get(memberId) ?? share(this.#lookups, memberId, this.#track(locate()), this.#times.waitMs)
  }

  #locked<T> (memberId: string, work: () => Promise<T>, poll: () => Promise<T | undefined>): Promise<T> {
    const { lockMs, waitMs } = this.#times
    return withLock(this.#parts.locks, { name: `refresh:${memberId}`, lockMs, waitMs, signal: this.#end.signal }, work, poll)
  }

  /** A failure is only logged: the next call learns the same from the portal. */
  async #persistStatus ({ memberId }: PortalAccess, work: Promise<void>): Promise<void> {
    await this.#track(work).catch(error => this.#parts.log.warn({ err: error, memberId }, 'failed to persist portal status'))
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

/** Shares the work with concurrent callers and bounds their wait; the work itself continues. */
function share<T> (list: Map<string, Promise<T>>, name: string, work: Promise<T>, waitMs: number): Promise<T> {
  const answer = new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(unavailable('no response yet')), waitMs)
    const settle = () => {
      clearTimeout(timer)
      list.delete(name)
    }
    work.then(value => { settle(); resolve(value) }, error => { settle(); reject(error) })
  })
  list.set(name, answer)
  return answer
}
