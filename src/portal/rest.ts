import { randomUUID } from 'node:crypto'
import type { B24OAuth, CallBatchResult } from '@bitrix24/b24jssdk'
import type { Resolve } from './address-guard.ts'
import { CallContext } from './call-context.ts'
import { callError } from './call-error.ts'
import { PortalCalls } from './portal-calls.ts'
import type { PortalLimits } from './portal-limits.ts'
import { RestTransport } from './rest-transport.ts'
import { loadSdk } from './sdk.ts'
import { SdkClient } from './sdk-client.ts'
import type { Tokens } from './tokens.ts'
import { unlessAborted } from './unless-aborted.ts'

export interface CallOptions {
  /** Breaks the call off; it then rejects with the reason of the signal. */
  signal?: AbortSignal | undefined
}

type Actions = B24OAuth['actions']['v2']
type Batch = Parameters<Actions['batch']['make']>[0]

/** Calls of a batch, as `actions.v2.batch.make` of the SDK takes them. */
export type BatchCalls = Batch['calls']
export type BatchOptions = NonNullable<Batch['options']> & CallOptions
/** What `actions.v2.fetchList.make` of the SDK takes beside them: `idKey`, `cursorIdKey`, `customKeyForResult`. */
export type ListOptions = Omit<Parameters<Actions['fetchList']['make']>[0], 'method' | 'params' | 'requestId'> & CallOptions

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
  /** Walks through a list, by pages of 50, without counting it. */
  list<T = unknown> (memberId: string, method: string, params?: object, options?: ListOptions): AsyncGenerator<T[], void, undefined>
  /**
   * The official client for one portal. Its requests go the same way as `call`; its errors are those of the SDK, whose
   * `originalError` is the one that `call` would have rejected with. Ask for it when it is needed: it is not for keeps.
   */
  client (memberId: string): Promise<B24OAuth>
}

export interface RestParts {
  tokens: Pick<Tokens, 'access' | 'renew' | 'locate'>
  limits: PortalLimits
  /** @default false */
  allowPrivateNetworks?: boolean | undefined
  /** Resolves the names of portals. @default that of node:dns */
  resolve?: Resolve | undefined
  /** Longest that a call waits for its portal's limits, ms. @default 5000 */
  mostWaitMs?: number | undefined
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
  readonly #transport: RestTransport
  readonly #mostClients: number
  /** The one that was used last is the last. */
  readonly #clients = new Map<string, SdkClient>()

  constructor ({ tokens, limits, allowPrivateNetworks = false, resolve, mostWaitMs, mostClients = 500 }: RestParts) {
    this.#tokens = tokens
    this.#transport = new RestTransport({ allowPrivateNetworks, resolve })
    this.#calls = new PortalCalls({ tokens, limits, transport: this.#transport, mostWaitMs })
    this.#mostClients = mostClients
  }

  async call<T = unknown> (memberId: string, method: string, params: object = {}, { signal }: CallOptions = {}): Promise<T> {
    const { client, context } = await this.#way(memberId, signal)
    return await failingAs(context, method, async () => {
      const result = await client.b24.actions.v2.call.make<T>({ method, params: context.among(params) })
      // Some errors are no errors to the SDK.
      if (context.failure !== undefined) throw context.failure
      return result.getData()?.result as T
    })
  }

  async batch<T = unknown> (memberId: string, calls: BatchCalls, { signal, ...options }: BatchOptions = {}): Promise<CallBatchResult<T>> {
    const { client, context } = await this.#way(memberId, signal)
    const requestId = options.requestId ?? randomUUID()
    return await failingAs(context, 'batch', async () => await client.within(requestId, context, async () => {
      return await client.b24.actions.v2.batch.make<T>({ calls, options: { ...options, requestId } })
    }))
  }

  async * list<T = unknown> (memberId: string, method: string, params: object = {}, { signal, ...options }: ListOptions = {}): AsyncGenerator<T[], void, undefined> {
    const { client, context } = await this.#way(memberId, signal)
    const pages = client.b24.actions.v2.fetchList.make<T>({ method, params: context.among(params), ...options })
    for (;;) {
      const { done, value } = await failingAs(context, method, async () => await pages.next())
      if (done === true) return
      yield value
    }
  }

  async client (memberId: string): Promise<B24OAuth> {
    const { client, context } = await this.#way(memberId, undefined)
    await client.bind(context.takeAccess() ?? await this.#tokens.access(memberId))
    return client.isOutdated ? await this.client(memberId) : client.b24
  }

  /** Ends all connections to portals. */
  close (): void {
    this.#transport.close()
  }

  /** The client of a portal; the token that had to be read for it goes with the call. */
  async #way (memberId: string, signal: AbortSignal | undefined): Promise<Way> {
    signal?.throwIfAborted()
    const known = this.#clients.get(memberId)
    const isGood = known !== undefined && !known.isOutdated
    if (isGood && !known.isStale) return { client: this.#keep(memberId, known), context: new CallContext(signal) }
    const [access, sdk] = await unlessAborted(Promise.all([this.#tokens.access(memberId), loadSdk()]), signal)
    if (isGood) await known.bind(access)
    const client = isGood ? known : new SdkClient(access, { sdk, calls: this.#calls, tokens: this.#tokens })
    this.#transport.use(client.b24.getHttpClient(sdk.ApiVersion.v2).ajaxClient)
    return { client: this.#keep(memberId, client), context: new CallContext(signal, access) }
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
    const { code, status = 0, message } = error as { code?: string, status?: number, message: string }
    throw callError(method, { code: code ?? 'JSSDK_UNKNOWN_ERROR', description: message, status })
  }
}
