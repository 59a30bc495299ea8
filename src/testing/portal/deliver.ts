import { type IncomingHttpHeaders, request } from 'node:http'
import { pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createGunzip } from 'node:zlib'
import pLimit from 'p-limit'

/** A request to the app and its response. */
export interface Delivery {
  /** URL of the request. */
  url: string
  /** 0 without a response: connection refused or broken, or a timeout of 30 seconds. */
  statusCode: number
  headers: IncomingHttpHeaders
  body: string
  /** Error code without a response: `ECONNREFUSED`, `ECONNRESET`, `ABORT_ERR` after 30 seconds. */
  error?: string
  json<T = unknown> (): T
  /**
   * Sends the same bytes again, like a network retry or a replay attack.
   * @throws UnansweredError
   */
  repeat (): Promise<Delivery>
}

/**
 * Thrown by methods that send to the app if there is no response: nothing listens at the address, the connection broke, or 30 seconds
 * passed. `outcome()` returns the deliveries instead.
 */
export class UnansweredError<Outcome = unknown> extends Error {
  override readonly name = 'UnansweredError'
  /** The result without the error. */
  readonly outcome: Outcome

  constructor (message: string, outcome: Outcome) {
    super(message)
    this.outcome = outcome
  }
}

/**
 * Accepts a missing response, for tests of that case: `(await outcome(portal.install(url))).error`.
 *
 * @returns the delivery; without a response `statusCode` is 0 and `error` is the error code
 */
export async function outcome<T> (sending: Promise<T>): Promise<T> {
  try {
    return await sending
  } catch (error) {
    if (error instanceof UnansweredError) return error.outcome as T
    throw error
  }
}

/**
 * Returns the deliveries if all have a response.
 *
 * @param what event or method, for the message
 * @throws UnansweredError
 */
export function answered<T extends Delivery | Delivery[]> (what: string, delivered: T): T {
  const [first] = [delivered].flat().filter(({ statusCode }) => statusCode === 0)
  if (first === undefined) return delivered
  throw new UnansweredError(`${what}: no response from ${first.url.replace(/\?.*$/s, '')} (${first.error}). To test this case, wrap the call in outcome()`, delivered)
}

export interface OutgoingRequest {
  url: string
  body: string | Buffer
  headers?: Record<string, string>
}

const LONGEST_WAIT_MS = 30_000

/** Sends like Bitrix24's queue: one connection per delivery, no redirects, no retries. A missing response is not an error. */
export async function deliver (request: OutgoingRequest): Promise<Delivery> {
  try {
    const response = await post(request)
    return delivered(request, response.statusCode, response.headers, response.body)
  } catch (error) {
    return { ...delivered(request, 0, {}, ''), error: String((error as NodeJS.ErrnoException).code) }
  }
}

function delivered (request: OutgoingRequest, statusCode: number, headers: IncomingHttpHeaders, body: string): Delivery {
  const repeat = async (): Promise<Delivery> => answered('repeat()', await deliver(request))
  return { url: request.url, statusCode, headers, body, json: () => JSON.parse(body), repeat }
}

async function post ({ url, body, headers: extra }: OutgoingRequest): Promise<{ statusCode: number, headers: IncomingHttpHeaders, body: string }> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: 'POST',
      agent: false,
      signal: AbortSignal.timeout(LONGEST_WAIT_MS),
      headers: {
        'User-Agent': 'Bitrix24 Webhook Engine',
        'Content-Type': 'application/x-www-form-urlencoded',
        'Content-Length': Buffer.byteLength(body),
        'Accept-Encoding': 'gzip',
        Connection: 'close',
        ...extra
      }
    }, response => {
      const { statusCode, headers } = response
      const content = headers['content-encoding'] === 'gzip' ? pipeline(response, createGunzip(), () => {}) : response
      text(content).then(body => resolve({ statusCode: statusCode as number, headers, body }), reject)
    })
    outgoing.on('error', reject).end(body)
  })
}

export interface BurstOptions {
  /**
   * Concurrent deliveries.
   * @default 16
   */
  concurrency?: number
  /**
   * Shuffles the order.
   * @default false
   */
  shuffle?: boolean
  /** Seed of the random order, to reproduce a failure. @default 1 */
  seed?: number
  /**
   * Copies of each delivery, byte for byte.
   * @default 1
   */
  copies?: number
}

/**
 * Runs `send` for each item concurrently, optionally with copies and out of order.
 *
 * @returns the results in the order of sending
 */
export async function burst<T, R> (items: Iterable<T>, send: (item: T, index: number) => Promise<R>, options: BurstOptions = {}): Promise<R[]> {
  const { concurrency = 16, shuffle = false, seed = 1, copies = 1 } = options
  const list = [...items].flatMap(item => Array<T>(copies).fill(item))
  return await pLimit(concurrency).map(shuffle ? shuffled(list, seed) : list, send)
}

function shuffled<T> (list: T[], seed: number): T[] {
  const random = randomFrom(seed)
  return list.map(item => ({ item, place: random() })).sort((a, b) => a.place - b.place).map(({ item }) => item)
}

/** Mulberry32 random numbers, the same on every machine. */
function randomFrom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
