import type { Install, InstallState } from '../installs/install.ts'
import { CallerStack } from './caller-stack.ts'
import type { DrainReport } from './offline/offline-drain.ts'
import type { DrainOptions, OfflineQueue } from './offline/offline-queue.ts'
import type { BatchCall, BatchCalls, BatchResult } from './rest/batch.ts'
import type { BatchOptions, CallOptions, ListOptions } from './rest/call-arguments.ts'
import type { CallAnswer, Rest } from './rest/rest.ts'
import type { OfficialClient } from './rest/official-client.ts'
import type { Subscriptions, SyncOptions, SyncReport } from './subscriptions/subscriptions.ts'

/** A portal: what is known about it, and calls to it. Contains no secrets. */
export interface Portal {
  /** Bitrix24's stable identity of the portal; survives renames. */
  readonly memberId: string
  /** Host of the portal as the OAuth server states it, or the event for a portal known only by an outgoing webhook. */
  readonly domain: string
  /** `webhook` for a portal known only by an outgoing webhook (option `webhooks`). */
  readonly state: InstallState | 'webhook'
  /** REST base of the portal, ends with `/rest/`; `undefined` for `webhook`. */
  readonly clientEndpoint: string | undefined
  /** Permissions of the app on this portal, such as `crm`. */
  readonly scope: readonly string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  readonly status: string | undefined
  /** Version of the app installed on the portal. */
  readonly version: string | undefined
  /** Portal user who installed the app. */
  readonly userId: number | undefined
  /** First verified install, ms since the epoch. */
  readonly installedAt: number | undefined
  /**
   * Calls a REST method with the stored tokens; resolves with the `result`. `params` is an object, or an array for methods with positional
   * parameters (`task.*`). A Date is sent as ISO 8601, a bigint as its digits.
   *
   * @throws FST_B24_INVALID_CALL, FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED,
   * FST_B24_PORTAL_GONE, FST_B24_PRIVATE_ADDRESS, FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE
   */
  call<T = unknown> (method: string, params?: object, options?: CallOptions): Promise<T>
  /**
   * Calls a REST method; resolves with `{ result, total, next, time }`.
   *
   * @throws as `call`
   */
  callFull<T = unknown> (method: string, params?: object, options?: CallOptions): Promise<CallAnswer<T>>
  /**
   * Calls up to 50 methods in one request. Errors of single calls are part of the result. A call can refer to the result of an earlier one:
   * `'$result[name][item][id]'`. Booleans are sent as `Y` and `N`; null and nested empty lists are rejected.
   *
   * @throws as `call`
   * @see https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
   */
  batch<T = unknown> (calls: readonly BatchCall[], options?: BatchOptions): Promise<BatchResult<T[]>>
  batch<Results extends object = Record<string, unknown>> (calls: { readonly [Name in keyof Results]: BatchCall }, options?: BatchOptions): Promise<BatchResult<Results>>
  /**
   * Iterates over a list by item id, without counting it, or by `start` (option `paging`); yields the portal's pages. Accepts a `filter`; an
   * `order` only with `start`.
   *
   * @throws as `call`, and FST_B24_LIST when pages do not continue each other, so that no item is missed silently
   */
  list<T = unknown> (method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /**
   * Returns the official client, `B24OAuth` of the optional peer `@bitrix24/b24jssdk`, with the stored tokens. Get a new one for each use.
   *
   * @throws FST_B24_SDK_MISSING, and as `call`
   */
  client (): Promise<OfficialClient>
  /** Fetches the state of the install. Bitrix24 sends no events until it is finished. */
  installation (options?: CallOptions): Promise<Installation>
  readonly subscriptions: {
    /**
     * Binds missing events that the app's handlers listen to, and unbinds those no handler listens to.
     * @throws FST_B24_NO_PUBLIC_URL
     */
    sync (options?: SyncOptions): Promise<SyncReport>
  }
  readonly offline: {
    /**
     * Fetches the events in the portal's offline queue and passes them to the handlers like posted ones.
     * @throws FST_B24_NO_QUEUE if `delivery.mode` is `inline`
     */
    drain (options?: DrainOptions): Promise<DrainReport>
  }
}

export interface PortalOperations {
  rest: Rest
  /** Stores the plan named in the portal's `app.info`. */
  updatePlan?: (memberId: string, appInfo: unknown) => Promise<void>
  subscriptions: Pick<Subscriptions, 'sync'>
  offline: Pick<OfflineQueue, 'drain'>
}

/** Creates `Portal` objects. */
export class Portals {
  readonly #operations: PortalOperations

  constructor (operations: PortalOperations) {
    this.#operations = operations
  }

  of (install: Install): Portal {
    return new KnownPortal(this.#operations, install.memberId, install.domain, install.state, install)
  }

  /** A portal known only by an outgoing webhook: there are no tokens for calls. */
  ofWebhook (memberId: string, domain: string): Portal {
    return new KnownPortal(this.#operations, memberId, domain, 'webhook')
  }
}

class KnownPortal implements Portal {
  readonly memberId: string
  readonly domain: string
  readonly state: Portal['state']
  readonly #operations: PortalOperations
  readonly #install: Install | undefined

  constructor (operations: PortalOperations, memberId: string, domain: string, state: Portal['state'], install?: Install) {
    this.memberId = memberId
    this.domain = domain
    this.state = state
    this.#operations = operations
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
    return { sync: options => this.#operations.subscriptions.sync(this.memberId, options) }
  }

  get offline (): Portal['offline'] {
    return { drain: options => this.#operations.offline.drain(this.memberId, options) }
  }

  call<T> (method: string, params?: object, options?: CallOptions): Promise<T> {
    return new CallerStack(this.call).of(this.#operations.rest.call<T>(this.memberId, method, params, options))
  }

  callFull<T> (method: string, params?: object, options?: CallOptions): Promise<CallAnswer<T>> {
    return new CallerStack(this.callFull).of(this.#operations.rest.callFull<T>(this.memberId, method, params, options))
  }

  batch<Results extends object> (calls: BatchCalls, options?: BatchOptions): Promise<BatchResult<Results>> {
    return new CallerStack(this.batch).of(this.#operations.rest.batch(this.memberId, calls as Record<string, BatchCall>, options) as Promise<BatchResult<Results>>)
  }

  list<T> (method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined> {
    return new CallerStack(this.list).ofAll(this.#operations.rest.list<T>(this.memberId, method, params, options))
  }

  client (): Promise<OfficialClient> {
    return new CallerStack(this.client).of(this.#operations.rest.client(this.memberId))
  }

  async installation (options?: CallOptions): Promise<Installation> {
    const appInfo = await this.call('app.info', {}, options)
    // Storing the plan is a side effect: its failure must not fail the call.
    await this.#operations.updatePlan?.(this.memberId, appInfo).catch(() => {})
    return parseInstallation(appInfo)
  }

  /** Representation in logs. */
  toJSON (): object {
    const { memberId, domain, state, scope, status, version } = this
    return { memberId, domain, state, scope, status, version }
  }
}

/** State of the app on a portal. */
export interface Installation {
  /** `false` until an app with an install page has called `installFinish`: Bitrix24 sends no events before. */
  isFinished: boolean
  version: string | undefined
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  status: string | undefined
  /** The plan is unpaid; the portal sends no events. */
  isPaymentExpired: boolean
  /** Plan of the portal, such as `ru_basic`. */
  license: string | undefined
}

/**
 * Parses the result of a portal's `app.info`.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/common/system/app-info.md
 */
export function parseInstallation (result: unknown): Installation {
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
