import type { Agent, Dispatcher } from 'undici'
import { unlessAborted } from '../../async/abort.ts'
import { withTimeout } from '../../async/with-timeout.ts'
import { FST_B24_INSECURE_ADDRESS, FST_B24_INVALID_CALL, FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'
import type { HttpDispatcher } from '../../http-dispatcher.ts'
import { AddressGuard, type AllowedNetworks, privateLookup, INSECURE_ADDRESS, PRIVATE_ADDRESS, publicLookup, type Resolve } from './address-guard.ts'
import { unavailableError } from './call-error.ts'
import type { PortalResponse } from './classify-response.ts'
import { ReadBudget } from './read-budget.ts'
import { DEFAULT_MAX_BYTES, readResponse } from './read-response.ts'

export interface TransportOptions {
  allowPrivateNetworks: AllowedNetworks
  /** @default that of node:dns */
  resolve?: Resolve | undefined
  /** Sends what is sent; its owner closes it. @default agents of undici that connect to no private address */
  dispatcher?: HttpDispatcher | undefined
  budget?: ReadBudget | undefined
}

export interface RestPost {
  memberId: string
  method: string
  url: string
  /** A list is sent as it is, with the token in a header. */
  params: object
  accessToken: string
  signal: AbortSignal
  /** More headers, by their names in small letters. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Largest answer in bytes, unpacked. @default 1048576 */
  maxBytes?: number | undefined
}

/** What is sent of a post. */
interface Content {
  body: string
  headers: Record<string, string>
}

/** `public`: whatever is not refused. `covered`: allowed addresses of the own networks alone. */
type Reach = 'public' | 'covered'

/** Shorter than servers keep an idle connection: a call on one that is just being closed would fail. */
const IDLE_MS = 4_000
const CONNECT_MS = 3_000
const HEADERS = { 'content-type': 'application/json', accept: 'application/json', 'accept-encoding': 'gzip' }
/** Neither token nor parameters. */
const NOTHING: Content = { body: '{}', headers: HEADERS }

/**
 * Posts to portals: no redirect is followed, no private address reached unless that is allowed, and no token sent in clear text but to
 * allowed addresses of the own networks.
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
   * Posts JSON with the token in it. Rejects with the reason of `signal` when that aborts.
   *
   * A portal that is not reached by https is asked without token and parameters, whether it redirects to where it is.
   *
   * @throws FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS, FST_B24_INSECURE_ADDRESS, FST_B24_ANSWER_TOO_LARGE, FST_B24_INVALID_CALL
   */
  async post (post: RestPost): Promise<PortalResponse> {
    const { url, memberId } = post
    if (this.#guard.blocksUrl(url)) throw new FST_B24_PRIVATE_ADDRESS(memberId)
    const isTrusted = url.startsWith('https:') || this.#guard.allowsPlainHttp(url)
    if (isTrusted === true) return await this.#send(post, 'public', contentOf(post))
    // Who resolves names elsewhere cannot tell.
    if (isTrusted === undefined && this.#options.dispatcher === undefined) {
      const answer = await this.#send(post, 'covered', contentOf(post)).catch((error: unknown) => {
        if (!(error instanceof FST_B24_INSECURE_ADDRESS)) throw error
        return undefined
      })
      if (answer !== undefined) return answer
    }
    const answer = await this.#send(post, 'public', NOTHING)
    if (answer.status < 300 || answer.status > 399) throw new FST_B24_INSECURE_ADDRESS(memberId)
    return answer
  }

  /** Ends all connections. */
  async close (): Promise<void> {
    if (this.#options.dispatcher !== undefined) return
    await Promise.all([...this.#agents.values()].map(async agent => await (await agent).destroy()))
  }

  async #send (post: RestPost, reach: Reach, { body, headers }: Content): Promise<PortalResponse> {
    const { memberId, method, url, signal, maxBytes = DEFAULT_MAX_BYTES } = post
    signal.throwIfAborted()
    const agent = await this.#agentFor(reach)
    try {
      const { origin, pathname, search } = new URL(url)
      const request = agent.request({ origin, path: pathname + search, method: 'POST', headers, body, signal })
      // As long as undici connects, it obeys no signal.
      const answer = await unlessAborted(request, signal)
      return await readResponse(answer, { memberId, method, maxBytes, budget: this.#budget, signal })
    } catch (error) {
      signal.throwIfAborted()
      throw failureOf(error, memberId)
    }
  }

  /** Not loaded before the first call. */
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
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      // One time bounds the whole: who sends a byte now and then would meet neither of these.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_MS, lookup: (reach === 'public' ? publicLookup : privateLookup)(this.#guard, resolve) }
    }) satisfies Agent
  }
}

/** One of another version of undici, such as that in Node.js, may lack `request`. */
function dispatcherOf (given: HttpDispatcher, Base: typeof Dispatcher): Dispatcher {
  const dispatcher = given as unknown as Dispatcher
  return typeof dispatcher.request === 'function' ? dispatcher : { request: Base.prototype.request.bind(dispatcher) } as Dispatcher
}

function contentOf ({ params, accessToken, method, headers }: RestPost): Content {
  try {
    if (Array.isArray(params)) return { body: JSON.stringify(params), headers: { ...headers, ...HEADERS, authorization: `Bearer ${accessToken}` } }
    return { body: JSON.stringify({ ...params, auth: accessToken }), headers: { ...headers, ...HEADERS } }
  } catch {
    throw new FST_B24_INVALID_CALL(`${method}: its parameters cannot be written as JSON`)
  }
}

/** Nothing of the error goes on but its code: it may hold the request, and with it the token. */
function failureOf (error: unknown, memberId: string): Error {
  const { code } = error as { code?: unknown }
  if (code === PRIVATE_ADDRESS) return new FST_B24_PRIVATE_ADDRESS(memberId)
  if (code === INSECURE_ADDRESS) return new FST_B24_INSECURE_ADDRESS(memberId)
  if (typeof code === 'string' && code.startsWith('FST_B24_')) return error as Error
  return unavailableError(typeof code === 'string' ? code : 'no answer')
}

interface CallTimeout {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` with a signal that aborts at the limits. Rejects with the reason of the signal that was given when that aborts.
 *
 * @throws FST_B24_PORTAL_UNAVAILABLE when the time is over
 */
export async function withCallTimeout<T> ({ timeoutMs, signal }: CallTimeout, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return await withTimeout({ timeoutMs, signal }, async (within) => {
    try {
      return await work(within)
    } catch (error) {
      signal?.throwIfAborted()
      throw within.aborted ? unavailableError(`no answer within ${timeoutMs} ms`) : error
    }
  })
}
