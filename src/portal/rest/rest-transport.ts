import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Agent } from 'undici'
import { FST_B24_PRIVATE_ADDRESS } from '../../errors.ts'
import { withinLimits } from '../../time/within-limits.ts'
import { PRIVATE_ADDRESS, publicLookup, type Resolve } from './address-guard.ts'
import { unavailableError } from './call-error.ts'
import { isPrivateAddress } from './private-address.ts'
import type { PortalAnswer } from './verdict.ts'

export interface TransportOptions {
  allowPrivateNetworks: boolean
  /** @default that of node:dns */
  resolve?: Resolve | undefined
}

export interface RestPost {
  memberId: string
  url: string
  body: string
  timeoutMs: number
  signal: AbortSignal | undefined
  /** More headers, by their names in small letters. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Largest answer in bytes, unpacked. @default 1048576 */
  maxBytes?: number | undefined
}

/** Shorter than servers keep an idle connection: a call on one that is just being closed would fail. */
const IDLE_MS = 4_000
/** Parsed, it may take fifteen times as much. */
const LARGEST_ANSWER = 8 * 1024 * 1024
const HEADERS = { 'content-type': 'application/json', accept: 'application/json', 'accept-encoding': 'gzip' }

const unzip = promisify(gunzip)

/** Posts to portals: no redirect is followed, no proxy used, and no private address reached unless that is allowed. */
export class RestTransport {
  readonly #isOpen: boolean
  readonly #resolve: Resolve | undefined
  #agent: Promise<Agent> | undefined

  constructor ({ allowPrivateNetworks, resolve }: TransportOptions) {
    this.#isOpen = allowPrivateNetworks
    this.#resolve = resolve
  }

  /**
   * Posts JSON. Rejects with the reason of `signal` when that aborts.
   *
   * @throws FST_B24_PORTAL_UNAVAILABLE, FST_B24_PRIVATE_ADDRESS
   */
  async post ({ memberId, url, body, timeoutMs, signal, headers }: RestPost): Promise<PortalAnswer> {
    if (!this.#isOpen && isPrivateAddress(url)) throw new FST_B24_PRIVATE_ADDRESS(memberId)
    signal?.throwIfAborted()
    const agent = await (this.#agent ??= this.#open())
    return await withinLimits({ timeoutMs, signal }, async (within) => {
      try {
        const { origin, pathname, search } = new URL(url)
        const answer = await agent.request({ origin, path: pathname + search, method: 'POST', headers: { ...headers, ...HEADERS }, body, signal: within })
        const isZipped = answer.headers['content-encoding'] === 'gzip'
        return { status: answer.statusCode, headers: answer.headers, body: parse(isZipped ? await unzipped(await answer.body.arrayBuffer()) : await answer.body.text()) }
      } catch (error) {
        signal?.throwIfAborted()
        // Nothing of that error goes on: it may hold the request, and with it the token.
        const { code = 'no answer' } = error as { code?: string }
        if (code === PRIVATE_ADDRESS) throw new FST_B24_PRIVATE_ADDRESS(memberId)
        throw unavailableError(within.aborted ? `no answer within ${timeoutMs} ms` : code)
      }
    })
  }

  /** Ends all connections. */
  async close (): Promise<void> {
    await (await this.#agent)?.destroy()
  }

  /** Not loaded before the first call. */
  async #open (): Promise<Agent> {
    const { Agent } = await import('undici')
    return new Agent({
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      // One time bounds the whole: who sends a byte now and then would meet neither of these.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: LARGEST_ANSWER,
      connect: this.#isOpen ? {} : { lookup: publicLookup(this.#resolve) }
    })
  }
}

async function unzipped (content: ArrayBuffer): Promise<string> {
  return (await unzip(content, { maxOutputLength: LARGEST_ANSWER })).toString()
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
