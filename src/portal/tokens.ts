import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { FST_B24_APP_KEYS, FST_B24_CLOSING, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE } from '../errors.ts'
import type { Install } from '../installs/install.ts'
import type { InstallStore } from '../installs/store.ts'
import type { Sealer } from '../oauth/seal.ts'
import { unavailable } from '../oauth/request.ts'
import { settlesWithin } from '../queue/settles-within.ts'
import { AccessRecord } from './access-record.ts'
import { underLock } from './held-lock.ts'
import { findDue } from './keep-alive.ts'
import type { Locks } from './locks.ts'
import type { PortalAccess } from './portal-access.ts'
import { locatePortal } from './portal-address.ts'
import { TokenRefresh, type OAuthKeys, type RefreshParts, type Told } from './token-refresh.ts'

export interface TokensParts {
  store: InstallStore
  locks: Locks
  sealer: Sealer
  /** `signal` ends the keep-alive; a refresh under way ends by itself or by `close`, as breaking it off may cost the chain. */
  oauth: OAuthKeys & { signal?: AbortSignal | undefined }
  told: Told
  log: RefreshParts['log']
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

const TIMES: TokenTimes = { lockMs: 5_000, waitMs: 10_000, graceMs: 2_000 }
/** A refresh token lives for 180 days. */
const IDLE_MS = 150 * 24 * 60 * 60 * 1000
const HALTS: readonly unknown[] = [FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE].map(error => error().code)

/** The tokens to act on portals with. A pair is refreshed when it is needed, by one process at a time. */
export class Tokens {
  readonly #parts: TokensParts
  readonly #times: TokenTimes
  readonly #refresh: TokenRefresh
  readonly #record: AccessRecord
  readonly #end = new AbortController()
  readonly #now: () => number
  /** Refreshes and questions under way, by portal: who needs the same waits for them. */
  readonly #refreshes = new Map<string, Promise<PortalAccess>>()
  readonly #questions = new Map<string, Promise<Install>>()
  readonly #underWay = new Set<Promise<unknown>>()
  #isClosed = false

  constructor (parts: TokensParts) {
    const { store, sealer, oauth, told, log, now = Date.now, times } = parts
    this.#parts = parts
    this.#now = now
    this.#times = { ...TIMES, ...times }
    this.#record = new AccessRecord(store, now)
    const { graceMs } = this.#times
    const { signal } = this.#end
    setMaxListeners(0, signal)
    this.#refresh = new TokenRefresh({ store, record: this.#record, sealer, oauth, told, tell: tell => this.#tell(tell), log, now, graceMs, signal })
  }

  /**
   * A token of a portal that is good for a minute more. One read of the store, unless it must be refreshed.
   *
   * @throws FST_B24_REAUTH_REQUIRED also for a portal that is known by a webhook alone
   * @throws FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE,
   * FST_B24_SEAL_UNREADABLE, FST_B24_CLOSING
   */
  async access (memberId: string): Promise<PortalAccess> {
    return await this.#find(memberId, undefined)
  }

  /** Another token than the one that the portal refused: a newer one that is kept by now, or a new one. @throws as `access` */
  async renew (refused: PortalAccess): Promise<PortalAccess> {
    return await this.#find(refused.memberId, refused.generation)
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

  /** Refreshes some of the pairs that were not for 150 days, one after another. Never rejects. */
  async keepAlive (): Promise<void> {
    await this.#track(this.#keepAlive()).catch(error => this.#parts.log.warn({ err: error }, 'tokens are not kept alive now'))
  }

  /** Takes nothing on, waits for the refreshes under way, and breaks off those that take too long. */
  async close (withinMs = 5_000): Promise<void> {
    this.#isClosed = true
    await settlesWithin(Promise.allSettled(this.#underWay), withinMs)
    this.#end.abort()
    await Promise.allSettled(this.#underWay)
  }

  async #find (memberId: string, refused: number | undefined): Promise<PortalAccess> {
    for (;;) {
      const kept = await this.#refresh.kept(memberId, refused)
      if (kept !== undefined) return kept
      const access = await (this.#refreshes.get(memberId) ?? this.#start(memberId, refused))
      // It may be another's refresh, who did not know that this one is refused.
      if (access.generation !== refused) return access
    }
  }

  #start (memberId: string, refused: number | undefined): Promise<PortalAccess> {
    if (this.#isClosed) throw new FST_B24_CLOSING()
    const work = () => this.#refresh.refresh(memberId, refused)
    const refresh = this.#track(this.#locked(memberId, work, () => this.#refresh.kept(memberId, refused)))
    return shared(this.#refreshes, memberId, refresh, this.#times.waitMs)
  }

  #ask (install: Install, accessToken: string): Promise<Install> {
    const { memberId } = install
    const locate = async (): Promise<Install> => {
      const parts = { record: this.#record, oauth: this.#parts.oauth, signal: this.#end.signal }
      const { outcome, install: located = install } = await locatePortal(install, accessToken, parts)
      const isRenamed = outcome === 'located' && located.domain !== install.domain
      if (isRenamed) this.#tell(() => this.#parts.told.renamed(memberId, install.domain, located.domain))
      return located
    }
    return this.#questions.get(memberId) ?? shared(this.#questions, memberId, this.#track(locate()), this.#times.waitMs)
  }

  async #keepAlive (): Promise<void> {
    const { store, log, oauth } = this.#parts
    const before = this.#now() - IDLE_MS
    for (const { memberId, owner } of await findDue(store, before)) {
      if (this.#isClosed || oauth.signal?.aborted === true) return
      const work = async () => await this.#refresh.keepAlive(memberId, owner, before).then(() => true)
      try {
        // Where another works on the portal, the next run comes back to it.
        await this.#locked(memberId, work, async () => true)
      } catch (error) {
        if (HALTS.includes((error as { code?: unknown }).code)) throw error
        log.warn({ err: error, memberId, owner }, 'a token is not kept alive')
      }
      await sleep(Math.random() * 100, undefined, { ref: false })
    }
  }

  #locked<T> (memberId: string, work: () => Promise<T>, glance: () => Promise<T | undefined>): Promise<T> {
    const { lockMs, waitMs } = this.#times
    return underLock(this.#parts.locks, { name: `refresh:${memberId}`, lockMs, waitMs, signal: this.#end.signal }, work, glance)
  }

  #track<T> (work: Promise<T>): Promise<T> {
    const settled = () => { this.#underWay.delete(work) }
    this.#underWay.add(work)
    work.then(settled, settled)
    return work
  }

  #tell (tell: () => unknown): void {
    Promise.resolve().then(tell).catch((error: unknown) => this.#parts.log.error({ err: error }, 'a hook failed'))
  }
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
