import {
  type BatchOptions, CALL_TIMEOUT_MS, type CallOptions, checkCallOptions, checkMethod, copyParams, type ListOptions, type RequestOptions
} from './call-arguments.ts'
import {
  type BatchCall, type BatchCalls, batchParams, batchParams3, BatchResult, commandsOf, countAt, batchError, parseBatch, parseBatch3, valueAt
} from './batch.ts'
import { listPages } from './list-pages.ts'
import type { PortalBlocks } from './observed-limits.ts'
import { type Answered, PortalCalls, type CallTokens, type PortalCall } from './portal-calls.ts'
import type { PortalLimits } from '../../storage/call-rate-limits.ts'
import type { RestTransport } from './rest-transport.ts'
import { SdkClients } from './sdk-client.ts'
import type { OfficialClient } from './official-client.ts'

/** A complete response of a portal. */
export interface CallAnswer<T = unknown> {
  result: T
  /** Number of items in a list, if the portal counted them. */
  total: number | undefined
  /** `start` of the next page; `undefined` if there is none. */
  next: number | undefined
  /**
   * Duration of the call as measured by the portal.
   * @see https://apidocs.bitrix24.com/api-reference/data-types.html#time
   */
  time: unknown
}

/**
 * Calls REST methods of portals with stored tokens, within the rate limits shared by all processes of the app.
 *
 * Methods reject with FST_B24_INVALID_CALL before anything is sent; with FST_B24_PORTAL_CALL (`portalCode`, `description`), FST_B24_PORTAL_LIMIT
 * (`retryAfterMs`), FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE,
 * FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE; or with the signal's reason. Errors contain no secrets.
 */
export interface Rest {
  /** Calls a method; resolves with the `result`. `params` is an object, or an array for methods with positional parameters. */
  call<T = unknown> (memberId: string, method: string, params?: object, options?: CallOptions): Promise<T>
  /** Calls a method; resolves with `{ result, total, next, time }`. */
  callFull<T = unknown> (memberId: string, method: string, params?: object, options?: CallOptions): Promise<CallAnswer<T>>
  /** Calls up to 50 methods in one request; errors of single calls are part of the result. */
  batch<T = unknown> (memberId: string, calls: readonly BatchCall[], options?: BatchOptions): Promise<BatchResult<T[]>>
  batch<Results extends object = Record<string, unknown>> (memberId: string, calls: { readonly [Name in keyof Results]: BatchCall }, options?: BatchOptions): Promise<BatchResult<Results>>
  /**
   * Iterates over a list by item id or by `start`; yields the portal's pages.
   *
   * @throws FST_B24_LIST also for pages that do not continue each other, so that no item is missed silently
   */
  list<T = unknown> (memberId: string, method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /**
   * Returns the official SDK client for one portal. Its requests use the same tokens and limits as `call`; its errors are the SDK's, with
   * `originalError` as `call` would reject with. Get a new one for each use.
   *
   * @throws FST_B24_SDK_MISSING
   */
  client (memberId: string): Promise<OfficialClient>
}

export interface RestParts {
  tokens: CallTokens
  limits: PortalLimits
  transport: RestTransport
  /** How long a call may wait for the portal's rate limits, in milliseconds. @default 5000 */
  maxWaitMs?: number | undefined
  blocks?: PortalBlocks | undefined
  /** Number of SDK clients to cache. @default 500 */
  maxClients?: number | undefined
}

export class PortalRest implements Rest {
  readonly #calls: PortalCalls
  readonly #clients: SdkClients

  constructor ({ tokens, limits, transport, maxWaitMs, blocks, maxClients = 500 }: RestParts) {
    this.#calls = new PortalCalls({ tokens, limits, transport, maxWaitMs, blocks })
    this.#clients = new SdkClients({ calls: this.#calls, tokens }, maxClients)
  }

  async call<T = unknown> (memberId: string, method: string, params?: object, options?: CallOptions): Promise<T> {
    return (await this.callFull<T>(memberId, method, params, options)).result
  }

  async callFull<T = unknown> (memberId: string, method: string, params?: object, options: CallOptions = {}): Promise<CallAnswer<T>> {
    checkMethod(method)
    checkCallOptions('call', options)
    return await this.#callFull<T>(memberId, method, copyParams(method, params), options)
  }

  batch<T = unknown> (memberId: string, calls: readonly BatchCall[], options?: BatchOptions): Promise<BatchResult<T[]>>
  batch<Results extends object = Record<string, unknown>> (memberId: string, calls: { readonly [Name in keyof Results]: BatchCall }, options?: BatchOptions): Promise<BatchResult<Results>>
  async batch (memberId: string, calls: BatchCalls, options: BatchOptions = {}): Promise<BatchResult<object>> {
    checkCallOptions('batch', options)
    const commands = commandsOf(calls)
    const isList = Array.isArray(calls)
    const { version, halt = true } = options
    const call = { memberId, method: 'batch', path: pathOf('batch', version) }
    if (version === 3) {
      const { response: { body } } = await this.#make({ ...call, params: batchParams3(commands, isList) }, options)
      return new BatchResult(parseBatch3(body, commands), isList)
    }
    const { response: { body }, access } = await this.#make({ ...call, params: batchParams(commands, isList, halt), batchError }, options)
    return new BatchResult(parseBatch(body, commands, access, halt), isList)
  }

  async * list<T = unknown> (memberId: string, method: string, params: object = {}, options: ListOptions = {}): AsyncGenerator<T[], void, undefined> {
    checkMethod(method)
    checkCallOptions('list', options)
    const { paging, idKey, cursorIdKey, ...request } = options
    const pages = listPages<T>(async page => await this.#callFull(memberId, method, page, request), method, copyParams(method, params), { paging, idKey, cursorIdKey })
    for await (const page of pages) {
      // The page may have arrived before the abort.
      request.signal?.throwIfAborted()
      yield page
    }
  }

  async client (memberId: string): Promise<OfficialClient> {
    return await this.#clients.client(memberId)
  }

  /** Expects validated arguments. */
  async #callFull<T> (memberId: string, method: string, params: object, options: CallOptions): Promise<CallAnswer<T>> {
    const { version, idempotencyKey } = options
    const headers = idempotencyKey === undefined ? undefined : { 'idempotency-key': idempotencyKey }
    const { response: { body } } = await this.#make({ memberId, method, path: pathOf(method, version), params, headers }, options)
    return { result: valueAt(body, 'result') as T, total: countAt(body, 'total'), next: countAt(body, 'next'), time: valueAt(body, 'time') }
  }

  async #make (call: Omit<PortalCall, 'timeoutMs'>, { signal, timeoutMs = CALL_TIMEOUT_MS, maxBytes }: RequestOptions): Promise<Answered> {
    signal?.throwIfAborted()
    return await this.#calls.make({ ...call, timeoutMs, signal, maxBytes })
  }
}

/** Returns the path relative to the REST base of a portal. */
function pathOf (method: string, version: 2 | 3 = 2): string {
  return version === 3 ? `api/${method}` : method
}
