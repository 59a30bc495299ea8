import { type IncomingHttpHeaders, request } from 'node:http'
import { pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createGunzip } from 'node:zlib'
import pLimit from 'p-limit'

/** One POST to the app and what it answered. */
export interface Delivery {
  /** Where it was posted. */
  url: string
  /** 0 when no answer came: refused, broken off, or none within 30 seconds. */
  statusCode: number
  headers: IncomingHttpHeaders
  body: string
  /** Why no answer came: `ECONNREFUSED`, `ECONNRESET`, `ABORT_ERR` after 30 seconds. */
  error?: string
  json<T = unknown> (): T
  /**
   * Posts the very same bytes once more, as a network may, or someone who saw them.
   * @throws UnansweredError
   */
  repeat (): Promise<Delivery>
}

/**
 * Thrown by whatever posts to the app when it gets no answer: nobody listens at that address, the connection broke, or 30 seconds passed.
 * `outcome()` gives the deliveries instead.
 */
export class UnansweredError<Outcome = unknown> extends Error {
  override readonly name = 'UnansweredError'
  /** What would have been given. */
  readonly outcome: Outcome

  constructor (message: string, outcome: Outcome) {
    super(message)
    this.outcome = outcome
  }
}

/**
 * Takes that there is no answer, for a test of just that: `(await outcome(portal.install(url))).error`.
 *
 * @returns what was delivered; `statusCode` is 0 and `error` says why where there was no answer
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
 * Gives deliveries on when each was answered.
 *
 * @param what event or act, for the message
 * @throws UnansweredError
 */
export function answered<T extends Delivery | Delivery[]> (what: string, delivered: T): T {
  const [first] = [delivered].flat().filter(({ statusCode }) => statusCode === 0)
  if (first === undefined) return delivered
  throw new UnansweredError(`${what}: no answer from ${first.url.replace(/\?.*$/s, '')} (${first.error}). A test of that wraps the call in outcome()`, delivered)
}

export interface OutgoingRequest {
  url: string
  body: string | Buffer
  headers?: Record<string, string>
}

const LONGEST_WAIT_MS = 30_000

/** Posts as Bitrix24's queue does: one connection for each delivery, no redirect followed, never a second try. It is no error that nobody answers. */
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
   * Deliveries under way at once.
   * @default 16
   */
  concurrency?: number
  /**
   * Changes the order.
   * @default false
   */
  shuffle?: boolean
  /** Start of the random order, so that a failure can be run again. @default 1 */
  seed?: number
  /**
   * Copies of each, byte for byte.
   * @default 1
   */
  copies?: number
}

/**
 * Runs `send` for each item, many at once, with copies and out of order on request.
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

/** Mulberry32: a few lines, and the same order on every machine. */
function randomFrom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
