import { randomUUID } from 'node:crypto'
import type { B24OAuth, CallBatchResult } from '@bitrix24/b24jssdk'
import { CallContext } from './call-context.ts'
import { callError } from './call-error.ts'
import { listPages, type WalkOptions } from './list-pages.ts'
import type { PortalAccess } from '../tokens/portal-access.ts'
import type { PortalBlocks } from './portal-blocks.ts'
import { PortalCalls, type CallTokens } from './portal-calls.ts'
import type { PortalLimits } from '../limits/portal-limits.ts'
import type { RestTransport } from './rest-transport.ts'
import { loadSdk, type Sdk } from './sdk.ts'
import { SdkClient } from './sdk-client.ts'
import { unlessAborted } from '../../time/unless-aborted.ts'

export interface CallOptions {
  /** Breaks the call off; it then rejects with the reason of the signal. */
  signal?: AbortSignal | undefined
}

type Actions = B24OAuth['actions']['v2']
type Batch = Parameters<Actions['batch']['make']>[0]

/** Calls of a batch, as `actions.v2.batch.make` of the SDK takes them. */
export type BatchCalls = Batch['calls']
export type BatchOptions = NonNullable<Batch['options']> & CallOptions
export interface ListOptions extends WalkOptions, CallOptions {}

/**
 * Calls REST methods of portals, with the tokens that are kept and within the limits that all processes of the app share.
 *
 * Each rejects with FST_B24_PORTAL_CALL (`portalCode`, `description`), FST_B24_PORTAL_LIMIT (`retryAfterMs`),
 * FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, FST_B24_REAUTH_REQUIRED, FST_B24_PORTAL_SUSPENDED, FST_B24_PORTAL_GONE,
 * FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE, or with the reason of `signal`. No error holds a secret.
 */
export interface Rest {
  /** Calls a method; resolves with the `result` of the answer. */
  call<T = unknown> (memberId: string, method: string, params?: object, options?: CallOptions): Promise<T>
  /** Calls up to 50 methods at once; resolves as the SDK does, with the errors of single calls in the result. */
  batch<T = unknown> (memberId: string, calls: BatchCalls, options?: BatchOptions): Promise<CallBatchResult<T>>
  /**
   * Walks through a list by the ids of its items, without counting it; yields pages of 1 to 50 items. Takes a `filter` of one's own, but no
   * `order` and no `start`.
   *
   * @throws FST_B24_LIST also where an answer cannot be walked on from, such as items without a number as their id
   */
  list<T = unknown> (memberId: string, method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /**
   * The official client for one portal. Its requests go the same way as `call`; its errors are those of the SDK, whose
   * `originalError` is the one that `call` would have rejected with. Ask for it when it is needed: it is not for keeps.
   */
  client (memberId: string): Promise<B24OAuth>
}

export interface RestParts {
  tokens: CallTokens
  limits: PortalLimits
  transport: RestTransport
  /** Longest that a call waits for its portal's limits, ms. @default 5000 */
  mostWaitMs?: number | undefined
  blocks?: PortalBlocks | undefined
  /** Clients that are kept for their next call. @default 500 */
  mostClients?: number | undefined
}

/** What a call goes through. */
interface Way {
  client: SdkClient
  context: CallContext
}

export class PortalRest implements Rest {
  readonly #tokens: RestParts['tokens']
  readonly #calls: PortalCalls
  readonly #mostClients: number
  /** The one that was used last is the last. */
  readonly #clients = new Map<string, SdkClient>()

  constructor ({ tokens, limits, transport, mostWaitMs, blocks, mostClients = 500 }: RestParts) {
    this.#tokens = tokens
    this.#calls = new PortalCalls({ tokens, limits, transport, mostWaitMs, blocks })
    this.#mostClients = mostClients
  }

  async call<T = unknown> (memberId: string, method: string, params: object = {}, { signal }: CallOptions = {}): Promise<T> {
    const { client, context } = await this.#way(memberId, method, signal)
    return await failingAs(context, method, async () => {
      const result = await client.b24.actions.v2.call.make<T>({ method, params: context.among(params) })
      // Some errors are no errors to the SDK.
      if (context.failure !== undefined) throw context.failure
      return result.getData()?.result as T
    })
  }

  async batch<T = unknown> (memberId: string, calls: BatchCalls, { signal, ...options }: BatchOptions = {}): Promise<CallBatchResult<T>> {
    const { client, context } = await this.#way(memberId, 'batch', signal)
    const requestId = options.requestId ?? randomUUID()
    return await failingAs(context, 'batch', async () => await client.within(requestId, context, async () => {
      return await client.b24.actions.v2.batch.make<T>({ calls, options: { ...options, requestId } })
    }))
  }

  async * list<T = unknown> (memberId: string, method: string, params: object = {}, { signal, ...options }: ListOptions = {}): AsyncGenerator<T[], void, undefined> {
    yield * listPages<T>(async page => await this.call(memberId, method, page, { signal }), method, params, options)
  }

  async client (memberId: string): Promise<B24OAuth> {
    const [access, sdk] = await Promise.all([this.#tokens.access(memberId), loadSdk()])
    return (await this.#clientFor(access, sdk)).b24
  }

  /** The client for one call, which begins at once where the client knows a token; else that is read first. */
  async #way (memberId: string, method: string, signal: AbortSignal | undefined): Promise<Way> {
    signal?.throwIfAborted()
    const start = this.#calls.begin(memberId, method)
    const context = new CallContext(signal, start)
    const known = this.#clients.get(memberId)
    if (known !== undefined && !known.isOutdated && !known.isStale) return { client: this.#keep(memberId, known), context }
    const [access, sdk] = await unlessAborted(Promise.all([start.access, loadSdk()]), signal)
    return { client: await this.#clientFor(access, sdk), context }
  }

  async #clientFor (access: PortalAccess, sdk: Sdk): Promise<SdkClient> {
    const { memberId } = access
    const known = this.#clients.get(memberId)
    await known?.bind(access)
    const client = known === undefined || known.isOutdated ? new SdkClient(access, { sdk, calls: this.#calls, tokens: this.#tokens }) : known
    return this.#keep(memberId, client)
  }

  #keep (memberId: string, client: SdkClient): SdkClient {
    this.#clients.delete(memberId)
    this.#clients.set(memberId, client)
    const [oldest] = this.#clients.keys()
    if (this.#clients.size > this.#mostClients) this.#clients.delete(oldest as string)
    return client
  }
}

/** Rejects with why the call failed, instead of what the SDK made of it. */
async function failingAs<T> (context: CallContext, method: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (context.failure !== undefined) throw context.failure
    const { code = 'JSSDK_UNKNOWN_ERROR', message: description } = error as { code?: string, message: string }
    throw callError(method, { code, description, status: undefined })
  }
}
