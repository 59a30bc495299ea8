import type { B24OAuth, CallBatchResult } from '@bitrix24/b24jssdk'
import type { Install, InstallState } from '../installs/install.ts'
import type { DrainReport } from './offline/drain-report.ts'
import { readInstallation, type Installation } from './installation.ts'
import type { DrainOptions, OfflineQueue } from './offline/offline.ts'
import type { BatchCalls, BatchOptions, CallOptions, ListOptions, Rest } from './rest/rest.ts'
import type { Subscriptions, SyncOptions, SyncReport } from './subscriptions/subscriptions.ts'

/** A portal as the app sees it: what is known of it, and what can be done on it. Holds no secret. */
export interface Portal {
  /** Bitrix24's stable identity of the portal; survives renames. */
  readonly memberId: string
  /** Host of the portal, as the OAuth server names it; as the event names it for a portal known only by a webhook. */
  readonly domain: string
  /** `webhook` for a portal that is known only by an outgoing webhook (option `webhooks`). */
  readonly state: InstallState | 'webhook'
  /** REST base of the portal, ends with `/rest/`; `undefined` where only a webhook is known. */
  readonly clientEndpoint: string | undefined
  /** What the app may do on this portal, such as `crm`. */
  readonly scope: readonly string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  readonly status: string | undefined
  /** Version of the app that the portal runs. */
  readonly version: string | undefined
  /** Portal user who installed the app. */
  readonly userId: number | undefined
  /** First verified install, ms since the epoch. */
  readonly installedAt: number | undefined
  /**
   * Calls a REST method with the stored tokens; resolves with the `result` of the answer.
   *
   * @throws FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED,
   * FST_B24_PORTAL_GONE, FST_B24_PRIVATE_ADDRESS, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE
   */
  call<T = unknown> (method: string, params?: object, options?: CallOptions): Promise<T>
  /** Calls up to 50 methods at once; the errors of single calls are in the result, as the SDK gives it. */
  batch<T = unknown> (calls: BatchCalls, options?: BatchOptions): Promise<CallBatchResult<T>>
  /**
   * Walks through a list by the ids of its items, without counting it; yields pages of 1 to 50 items. Takes a `filter` of one's own, but no
   * `order` and no `start`.
   *
   * @throws as `call`, and FST_B24_LIST for a method whose answers cannot be walked through like that
   */
  list<T = unknown> (method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /** The official client of `@bitrix24/b24jssdk`, with the stored tokens. Do not keep it: ask for a new one for each use. */
  client (): Promise<B24OAuth>
  /** Asks the portal whether the install is finished: until it is, Bitrix24 sends nothing. */
  installation (options?: CallOptions): Promise<Installation>
  readonly subscriptions: {
    /**
     * Binds what the app's handlers name and the portal does not send yet, and unbinds what none names any more.
     * @throws FST_B24_NO_PUBLIC_URL
     */
    sync (options?: SyncOptions): Promise<SyncReport>
  }
  readonly offline: {
    /**
     * Fetches what waits in the portal's own queue, and hands it to the handlers as if it had been posted.
     * @throws FST_B24_NO_QUEUE where `delivery.mode` is `inline`
     */
    drain (options?: DrainOptions): Promise<DrainReport>
  }
}

/** What portals are acted on with. */
export interface Acts {
  rest: Rest
  subscriptions: Pick<Subscriptions, 'sync'>
  offline: Pick<OfflineQueue, 'drain'>
}

/** Makes portals of what is known of them. */
export class Portals {
  readonly #acts: Acts

  constructor (acts: Acts) {
    this.#acts = acts
  }

  /** The portal of an install. */
  of (install: Install): Portal {
    return new KnownPortal(this.#acts, install.memberId, install.domain, install.state, install)
  }

  /** A portal of which no more is known than that its owner set up an outgoing webhook: there are no tokens to act on it. */
  ofWebhook (memberId: string, domain: string): Portal {
    return new KnownPortal(this.#acts, memberId, domain, 'webhook')
  }
}

class KnownPortal implements Portal {
  readonly memberId: string
  readonly domain: string
  readonly state: Portal['state']
  readonly #acts: Acts
  readonly #install: Install | undefined

  constructor (acts: Acts, memberId: string, domain: string, state: Portal['state'], install?: Install) {
    this.memberId = memberId
    this.domain = domain
    this.state = state
    this.#acts = acts
    this.#install = install
  }

  get clientEndpoint (): string | undefined {
    return this.#install?.clientEndpoint
  }

  get scope (): readonly string[] {
    return this.#install?.scope ?? []
  }

  get status (): string | undefined {
    return this.#install?.status
  }

  get version (): string | undefined {
    return this.#install?.version
  }

  get userId (): number | undefined {
    return this.#install?.installer?.userId
  }

  get installedAt (): number | undefined {
    return this.#install?.installedAt
  }

  get subscriptions (): Portal['subscriptions'] {
    return { sync: options => this.#acts.subscriptions.sync(this.memberId, options) }
  }

  get offline (): Portal['offline'] {
    return { drain: options => this.#acts.offline.drain(this.memberId, options) }
  }

  call<T> (method: string, params?: object, options?: CallOptions): Promise<T> {
    return this.#acts.rest.call<T>(this.memberId, method, params, options)
  }

  batch<T> (calls: BatchCalls, options?: BatchOptions): Promise<CallBatchResult<T>> {
    return this.#acts.rest.batch<T>(this.memberId, calls, options)
  }

  list<T> (method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined> {
    return this.#acts.rest.list<T>(this.memberId, method, params, options)
  }

  client (): Promise<B24OAuth> {
    return this.#acts.rest.client(this.memberId)
  }

  async installation (options?: CallOptions): Promise<Installation> {
    return readInstallation(await this.call('app.info', {}, options))
  }

  /** What stands in a log. */
  toJSON (): object {
    const { memberId, domain, state, scope, status, version } = this
    return { memberId, domain, state, scope, status, version }
  }
}
