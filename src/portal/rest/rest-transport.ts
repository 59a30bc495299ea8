import type { Agent, Dispatcher } from 'undici'
import { unlessAborted } from '../../async/abort.ts'
import { withTimeout } from '../../async/with-timeout.ts'
import { FST_B24_INSECURE_ADDRESS, FST_B24_INVALID_CALL, FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'
import type { HttpDispatcher } from '../../oauth/request.ts'
import { AddressGuard, type AllowedNetworks, privateLookup, INSECURE_ADDRESS, PRIVATE_ADDRESS, publicLookup, type Resolve } from './address-guard.ts'
import { unavailableError } from './call-error.ts'
import type { PortalResponse } from './classify-response.ts'
import { ReadBudget } from './read-budget.ts'
import { DEFAULT_MAX_BYTES, readResponse } from './read-response.ts'

export interface TransportOptions {
  allowPrivateNetworks: AllowedNetworks
  /** @default that of node:dns */
  resolve?: Resolve | undefined
  /** Sends the requests; not closed by the transport. @default undici agents that refuse private addresses */
  dispatcher?: HttpDispatcher | undefined
  budget?: ReadBudget | undefined
}

export interface RestRequest {
  memberId: string
  method: string
  url: string
  /** An array is sent as it is, with the token in a header. */
  params: object
  accessToken: string
  signal: AbortSignal
  /** Additional headers, keyed by lower-case name. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Maximum response size in bytes after decompression. @default 1048576 */
  maxBytes?: number | undefined
}

interface Content {
  body: string
  headers: Record<string, string>
}

/** `public`: any address that is not blocked; `private`: allowed private addresses only. */
type Reach = 'public' | 'private'

/** Shorter than servers keep idle connections: a request on a connection being closed would fail. */
const KEEP_ALIVE_MS = 4_000
const CONNECT_TIMEOUT_MS = 3_000
const HEADERS = { 'content-type': 'application/json', accept: 'application/json', 'accept-encoding': 'gzip' }
/** Has neither token nor parameters. */
const PROBE: Content = { body: '{}', headers: HEADERS }

/**
 * Sends requests to portals. Follows no redirects, connects to private addresses only if allowed, and sends tokens without https only to allowed
 * private addresses.
 */
export class RestTransport {
  readonly #guard: AddressGuard
  readonly #options: TransportOptions
  readonly #budget: ReadBudget
  readonly #agents = new Map<Reach, Promise<Dispatcher>>()

  constructor (options: TransportOptions) {
    this.#guard = new AddressGuard(options.allowPrivateNetworks)
    this.#options = options
    this.#budget = options.budget ?? new ReadBudget()
  }

  /**
   * Posts parameters and token as JSON. Rejects with the signal's reason when it aborts.
   *
   * A portal with a plain http address gets a request without token and parameters, which it may answer with a redirect.
   *
   * @throws FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, FST_B24_INSECURE_ADDRESS, FST_B24_ANSWER_TOO_LARGE, FST_B24_INVALID_CALL
   */
  async post (request: RestRequest): Promise<PortalResponse> {
    const { url, memberId } = request
    if (this.#guard.blocksUrl(url)) throw new FST_B24_PRIVATE_ADDRESS(memberId)
    const maySendToken = url.startsWith('https:') || this.#guard.allowsPlainHttp(url)
    if (maySendToken === true) return await this.#send(request, 'public', contentOf(request))
    // A custom dispatcher resolves names itself, so the address is unknown.
    if (maySendToken === undefined && this.#options.dispatcher === undefined) {
      const response = await this.#send(request, 'private', contentOf(request)).catch((error: unknown) => {
        if (!(error instanceof FST_B24_INSECURE_ADDRESS)) throw error
        return undefined
      })
      if (response !== undefined) return response
    }
    const response = await this.#send(request, 'public', PROBE)
    if (response.status < 300 || response.status > 399) throw new FST_B24_INSECURE_ADDRESS(memberId)
    return response
  }

  /** Closes all connections. */
  async close (): Promise<void> {
    if (this.#options.dispatcher !== undefined) return
    await Promise.all([...this.#agents.values()].map(async agent => await (await agent).destroy()))
  }

  async #send (request: RestRequest, reach: Reach, { body, headers }: Content): Promise<PortalResponse> {
    const { memberId, method, url, signal, maxBytes = DEFAULT_MAX_BYTES } = request
    signal.throwIfAborted()
    const agent = await this.#agentFor(reach)
    try {
      const { origin, pathname, search } = new URL(url)
      const pending = agent.request({ origin, path: pathname + search, method: 'POST', headers, body, signal })
      // undici ignores the signal while it connects.
      const response = await unlessAborted(pending, signal)
      return await readResponse(response, { memberId, method, maxBytes, budget: this.#budget, signal })
    } catch (error) {
      signal.throwIfAborted()
      throw toPortalError(error, memberId)
    }
  }

  /** Loads undici on the first call. */
  #agentFor (reach: Reach): Promise<Dispatcher> {
    const known = this.#agents.get(reach) ?? this.#open(reach)
    this.#agents.set(reach, known)
    return known
  }

  async #open (reach: Reach): Promise<Dispatcher> {
    const undici = await import('undici')
    const { dispatcher, resolve } = this.#options
    if (dispatcher !== undefined) return dispatcherOf(dispatcher, undici.Dispatcher)
    return new undici.Agent({
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      // The signal bounds the whole call; a slow sender would never hit these timeouts.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS, lookup: (reach === 'public' ? publicLookup : privateLookup)(this.#guard, resolve) }
    }) satisfies Agent
  }
}

/** A dispatcher of another undici version, such as Node's own, may lack `request`. */
function dispatcherOf (given: HttpDispatcher, Base: typeof Dispatcher): Dispatcher {
  const dispatcher = given as unknown as Dispatcher
  return typeof dispatcher.request === 'function' ? dispatcher : { request: Base.prototype.request.bind(dispatcher) } as Dispatcher
}

function contentOf ({ params, accessToken, method, headers }: RestRequest): Content {
  try {
    if (Array.isArray(params)) return { body: JSON.stringify(params), headers: { ...headers, ...HEADERS, authorization: `Bearer ${accessToken}` } }
    return { body: JSON.stringify({ ...params, auth: accessToken }), headers: { ...headers, ...HEADERS } }
  } catch {
    throw new FST_B24_INVALID_CALL(`${method}: its parameters cannot be serialized as JSON`)
  }
}

/** Keeps only the error code: the error may contain the request and its token. */
function toPortalError (error: unknown, memberId: string): Error {
  const { code } = error as { code?: unknown }
  if (code === PRIVATE_ADDRESS) return new FST_B24_PRIVATE_ADDRESS(memberId)
  if (code === INSECURE_ADDRESS) return new FST_B24_INSECURE_ADDRESS(memberId)
  if (typeof code === 'string' && code.startsWith('FST_B24_')) return error as Error
  return unavailableError(typeof code === 'string' ? code : 'no response')
}

interface CallTimeout {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` with a deadline. Rejects with the reason of the given signal when that aborts.
 *
 * @throws FST_B24_PORTAL_UNAVAILABLE at the deadline
 */
export async function withCallTimeout<T> ({ timeoutMs, signal }: CallTimeout, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return await withTimeout({ timeoutMs, signal }, async (within) => {
    try {
      return await work(within)
    } catch (error) {
      signal?.throwIfAborted()
      throw within.aborted ? unavailableError(`no response within ${timeoutMs} ms`) : error
    }
  })
}
