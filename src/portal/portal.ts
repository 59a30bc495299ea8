import type { Install, InstallState } from '../installs/install.ts'
import { CallerStack } from './caller-stack.ts'
import type { DrainReport } from './offline/offline-drain.ts'
import type { DrainOptions, OfflineQueue } from './offline/offline-queue.ts'
import type { BatchCall, BatchCalls, BatchResult } from './rest/batch.ts'
import type { BatchOptions, CallOptions, ListOptions } from './rest/call-options.ts'
import type { CallAnswer, Rest } from './rest/rest.ts'
import type { OfficialClient } from './rest/sdk.ts'
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
   * Calls a REST method with the stored tokens; resolves with the `result` of the answer. `params` is a map, or a list for the methods that go by the
   * order of their parameters (`task.*`). A Date is sent as ISO 8601, a bigint as its digits.
   *
   * @throws FST_B24_INVALID_CALL, FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED,
   * FST_B24_PORTAL_GONE, FST_B24_PRIVATE_ADDRESS, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE
   */
  call<T = unknown> (method: string, params?: object, options?: CallOptions): Promise<T>
  /**
   * Calls a REST method; resolves with what stands beside the result too: `{ result, total, next, time }`.
   *
   * @throws as `call`
   */
  callFull<T = unknown> (method: string, params?: object, options?: CallOptions): Promise<CallAnswer<T>>
  /**
   * Calls up to 50 methods in one request. Does not reject for calls that the portal refuses: their errors are in the result. A call may use the
   * result of one before it: `'$result[name][item][id]'`. Booleans are sent as `Y` and `N`; null and nested empty lists are refused.
   *
   * @throws as `call`
   * @see https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
   */
  batch<T = unknown> (calls: readonly BatchCall[], options?: BatchOptions): Promise<BatchResult<T[]>>
  batch<Results extends object = Record<string, unknown>> (calls: { readonly [Name in keyof Results]: BatchCall }, options?: BatchOptions): Promise<BatchResult<Results>>
  /**
   * Walks through a list by the ids of its items, without counting it, or by `start` (option `paging`); yields the pages as the portal gives them. Takes
   * a `filter` of one's own; an `order` only by `start`.
   *
   * @throws as `call`, and FST_B24_LIST where pages do not follow each other: nothing is left out silently
   */
  list<T = unknown> (method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /**
   * The official client, `B24OAuth` of the optional peer `@bitrix24/b24jssdk`, with the stored tokens. Do not keep it: ask for a new one for each use.
   *
   * @throws FST_B24_SDK_MISSING, and as `call`
   */
  client (): Promise<OfficialClient>
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
export interface PortalOperations {
  rest: Rest
  /** Keeps what a portal says of its plan in `app.info`. */
  updatePlan?: (memberId: string, appInfo: unknown) => Promise<void>
  subscriptions: Pick<Subscriptions, 'sync'>
  offline: Pick<OfflineQueue, 'drain'>
}

/** Makes portals of what is known of them. */
export class Portals {
  readonly #acts: PortalOperations

  constructor (acts: PortalOperations) {
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
  readonly #acts: PortalOperations
  readonly #install: Install | undefined

  constructor (acts: PortalOperations, memberId: string, domain: string, state: Portal['state'], install?: Install) {
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
    return new CallerStack(this.call).of(this.#acts.rest.call<T>(this.memberId, method, params, options))
  }

  callFull<T> (method: string, params?: object, options?: CallOptions): Promise<CallAnswer<T>> {
    return new CallerStack(this.callFull).of(this.#acts.rest.callFull<T>(this.memberId, method, params, options))
  }

  batch<Results extends object> (calls: BatchCalls, options?: BatchOptions): Promise<BatchResult<Results>> {
    return new CallerStack(this.batch).of(this.#acts.rest.batch(this.memberId, calls as Record<string, BatchCall>, options) as Promise<BatchResult<Results>>)
  }

  list<T> (method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined> {
    return new CallerStack(this.list).ofAll(this.#acts.rest.list<T>(this.memberId, method, params, options))
  }

  client (): Promise<OfficialClient> {
    return new CallerStack(this.client).of(this.#acts.rest.client(this.memberId))
  }

  async installation (options?: CallOptions): Promise<Installation> {
    const appInfo = await this.call('app.info', {}, options)
    // The plan is kept if that can be; it is not what was asked for.
    await this.#acts.updatePlan?.(this.memberId, appInfo).catch(() => {})
    return readInstallation(appInfo)
  }

  /** What stands in a log. */
  toJSON (): object {
    const { memberId, domain, state, scope, status, version } = this
    return { memberId, domain, state, scope, status, version }
  }
}

/** What a portal says of the app on it. */
export interface Installation {
  /** `false` until an app with an install page has called `installFinish`: Bitrix24 sends no event before. */
  isFinished: boolean
  version: string | undefined
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  status: string | undefined
  /** The portal must pay, and sends no events. */
  isPaymentExpired: boolean
  /** Plan of the portal, such as `ru_basic`. */
  license: string | undefined
}

/**
 * Reads the answer of a portal's `app.info`.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/common/system/app-info.md
 */
export function readInstallation (result: unknown): Installation {
  const { INSTALLED, VERSION, STATUS, PAYMENT_EXPIRED, LICENSE } = (result ?? {}) as Record<string, unknown>
  return {
    isFinished: INSTALLED === true,
    version: textOf(typeof VERSION === 'number' ? String(VERSION) : VERSION),
    status: textOf(STATUS),
    isPaymentExpired: PAYMENT_EXPIRED === 'Y',
    license: textOf(LICENSE)
  }
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
