import { CALL_TIMEOUT_MS, checkCallOptions, checkMethod, type BatchOptions, type CallOptions, type ListOptions, type RequestOptions } from './call-options.ts'
import {
  type BatchCall, type BatchCalls, batchParams, batchParams3, BatchResult, commandsOf, countAt, batchError, readBatch, readBatch3, valueAt
} from './batch.ts'
import { listPages } from './list-pages.ts'
import type { PortalBlocks } from './observed-limits.ts'
import { type Answered, PortalCalls, type CallTokens, type PortalCall } from './portal-calls.ts'
import { copyParams } from './params.ts'
import type { PortalLimits } from '../../storage/limits.ts'
import type { RestTransport } from './rest-transport.ts'
import { SdkClients } from './sdk-client.ts'
import type { OfficialClient } from './sdk.ts'

/** An answer of a portal as a whole. */
export interface CallAnswer<T = unknown> {
  result: T
  /** How many items a list has, where the portal counted them. */
  total: number | undefined
  /** `start` of the next page; `undefined` where there is none, or the method has no pages. */
  next: number | undefined
  /**
   * What the call took, as the portal measured it.
   * @see https://apidocs.bitrix24.com/api-reference/data-types.html#time
   */
  time: unknown
}

/**
 * Calls REST methods of portals, with the tokens that are kept and within the limits that all processes of the app share.
 *
 * Each rejects with FST_B24_INVALID_CALL before anything is sent; with FST_B24_PORTAL_CALL (`portalCode`, `description`), FST_B24_PORTAL_LIMIT
 * (`retryAfterMs`), FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE,
 * FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE; or with the reason of `signal`. No error holds a secret.
 */
export interface Rest {
  /** Calls a method; resolves with the `result` of the answer. `params` is a map, or a list for methods that go by the order of their parameters. */
  call<T = unknown> (memberId: string, method: string, params?: object, options?: CallOptions): Promise<T>
  /** Calls a method; resolves with the result and what stands beside it: `{ result, total, next, time }`. */
  callFull<T = unknown> (memberId: string, method: string, params?: object, options?: CallOptions): Promise<CallAnswer<T>>
  /** Calls up to 50 methods in one request; errors of single calls are in the result. */
  batch<T = unknown> (memberId: string, calls: readonly BatchCall[], options?: BatchOptions): Promise<BatchResult<T[]>>
  batch<Results extends object = Record<string, unknown>> (memberId: string, calls: { readonly [Name in keyof Results]: BatchCall }, options?: BatchOptions): Promise<BatchResult<Results>>
  /**
   * Walks through a list by the ids of its items, or by `start`; yields the pages as the portal gives them.
   *
   * @throws FST_B24_LIST also where an answer cannot be walked on from: nothing is left out silently
   */
  list<T = unknown> (memberId: string, method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /**
   * The official client for one portal. Its requests go the same way as `call`; its errors are those of the SDK, whose `originalError` is the one that
   * `call` would have rejected with. Ask for it when it is needed, and do not keep it.
   *
   * @throws FST_B24_SDK_MISSING
   */
  client (memberId: string): Promise<OfficialClient>
}

export interface RestParts {
  tokens: CallTokens
  limits: PortalLimits
  transport: RestTransport
  /** Longest that a call waits for its portal's limits, ms. @default 5000 */
  mostWaitMs?: number | undefined
  blocks?: PortalBlocks | undefined
  /** Official clients that are kept for their next use. @default 500 */
  mostClients?: number | undefined
}

export class PortalRest implements Rest {
  readonly #calls: PortalCalls
  readonly #clients: SdkClients

  constructor ({ tokens, limits, transport, mostWaitMs, blocks, mostClients = 500 }: RestParts) {
    this.#calls = new PortalCalls({ tokens, limits, transport, mostWaitMs, blocks })
    this.#clients = new SdkClients({ calls: this.#calls, tokens }, mostClients)
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
      const { answer: { body } } = await this.#make({ ...call, params: batchParams3(commands, isList) }, options)
      return new BatchResult(readBatch3(body, commands), isList)
    }
    const { answer: { body }, access } = await this.#make({ ...call, params: batchParams(commands, isList, halt), batchError }, options)
    return new BatchResult(readBatch(body, commands, access, halt), isList)
  }

  async * list<T = unknown> (memberId: string, method: string, params: object = {}, options: ListOptions = {}): AsyncGenerator<T[], void, undefined> {
    checkMethod(method)
    checkCallOptions('list', options)
    const { paging, idKey, cursorIdKey, ...request } = options
    const pages = listPages<T>(async page => await this.#callFull(memberId, method, page, request), method, copyParams(method, params), { paging, idKey, cursorIdKey })
    for await (const page of pages) {
      // It may have been there before it was broken off.
      request.signal?.throwIfAborted()
      yield page
    }
  }

  async client (memberId: string): Promise<OfficialClient> {
    return await this.#clients.client(memberId)
  }

  /** Its arguments are checked already. */
  async #callFull<T> (memberId: string, method: string, params: object, options: CallOptions): Promise<CallAnswer<T>> {
    const { version, idempotencyKey } = options
    const headers = idempotencyKey === undefined ? undefined : { 'idempotency-key': idempotencyKey }
    const { answer: { body } } = await this.#make({ memberId, method, path: pathOf(method, version), params, headers }, options)
    return { result: valueAt(body, 'result') as T, total: countAt(body, 'total'), next: countAt(body, 'next'), time: valueAt(body, 'time') }
  }

  async #make (call: Omit<PortalCall, 'timeoutMs'>, { signal, timeoutMs = CALL_TIMEOUT_MS, maxBytes }: RequestOptions): Promise<Answered> {
    signal?.throwIfAborted()
    return await this.#calls.make({ ...call, timeoutMs, signal, maxBytes })
  }
}

/** Behind the REST base of a portal. */
function pathOf (method: string, version: 2 | 3 = 2): string {
  return version === 3 ? `api/${method}` : method
}
