import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { FST_B24_PRIVATE_ADDRESS } from '../errors.ts'
import { PRIVATE_ADDRESS, publicLookup, type Resolve } from './address-guard.ts'
import { unavailableError } from './call-error.ts'
import { isPrivateAddress } from './private-address.ts'
import type { Ajax } from './sdk.ts'
import type { PortalAnswer } from './verdict.ts'

export interface TransportOptions {
  allowPrivateNetworks: boolean
  /** @default that of node:dns */
  resolve?: Resolve | undefined
}

export interface Post {
  memberId: string
  url: string
  body: string
  timeoutMs: number
  signal: AbortSignal | undefined
}

/** Shorter than servers keep an idle connection: a call on one that is just being closed would fail. */
const IDLE_MS = 4_000
const LARGEST_ANSWER = 64 * 1024 * 1024

/** Posts to portals, with the axios of the SDK: no redirect is followed, and no private address reached unless that is allowed. */
export class RestTransport {
  readonly #isOpen: boolean
  readonly #agents: { httpAgent: HttpAgent, httpsAgent: HttpsAgent }
  #ajax: Ajax | undefined

  constructor ({ allowPrivateNetworks, resolve }: TransportOptions) {
    const options = { keepAlive: true, timeout: IDLE_MS, ...(!allowPrivateNetworks && { lookup: publicLookup(resolve) }) }
    this.#isOpen = allowPrivateNetworks
    this.#agents = { httpAgent: new HttpAgent(options), httpsAgent: new HttpsAgent(options) }
  }

  /** Takes the axios of the SDK's clients for its own requests. */
  use (ajax: Ajax): void {
    this.#ajax ??= ajax.create({
      ...this.#agents,
      adapter: 'http',
      method: 'post',
      maxRedirects: 0,
      // Behind a proxy, nobody could tell where a connection goes.
      proxy: false,
      maxContentLength: LARGEST_ANSWER,
      maxBodyLength: Infinity,
      responseType: 'text',
      headers: { 'content-type': 'application/json' },
      transformRequest: [body => body],
      transformResponse: [text => text],
      validateStatus: () => true
    })
  }

  /**
   * Posts JSON. Rejects with the reason of `signal` when that aborts.
   *
   * @throws FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS
   */
  async post ({ memberId, url, body, timeoutMs, signal }: Post): Promise<PortalAnswer> {
    if (!this.#isOpen && isPrivateAddress(url)) throw new FST_B24_PRIVATE_ADDRESS(memberId)
    signal?.throwIfAborted()
    try {
      const { status, data } = await (this.#ajax as Ajax).request({ url, data: body, timeout: timeoutMs, ...(signal !== undefined && { signal }) })
      return { status, body: parse(data) }
    } catch (error) {
      signal?.throwIfAborted()
      // Nothing of that error goes on: it holds the request, and with it the token.
      const { code = 'no answer' } = error as { code?: string }
      throw code === PRIVATE_ADDRESS ? new FST_B24_PRIVATE_ADDRESS(memberId) : unavailableError(code)
    }
  }

  /** Ends all connections. */
  close (): void {
    for (const agent of Object.values(this.#agents)) agent.destroy()
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
