import { request, type IncomingHttpHeaders } from 'node:http'
import { pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createGunzip } from 'node:zlib'

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

export interface Parcel {
  url: string
  body: string | Buffer
  headers?: Record<string, string>
}

const LONGEST_WAIT_MS = 30_000

/** Posts as Bitrix24's queue does: one connection for each delivery, no redirect followed, never a second try. It is no error that nobody answers. */
export async function deliver (parcel: Parcel): Promise<Delivery> {
  try {
    const response = await post(parcel)
    return delivered(parcel, response.statusCode, response.headers, response.body)
  } catch (error) {
    return { ...delivered(parcel, 0, {}, ''), error: String((error as NodeJS.ErrnoException).code) }
  }
}

function delivered (parcel: Parcel, statusCode: number, headers: IncomingHttpHeaders, body: string): Delivery {
  const repeat = async (): Promise<Delivery> => answered('repeat()', await deliver(parcel))
  return { url: parcel.url, statusCode, headers, body, json: () => JSON.parse(body), repeat }
}

async function post ({ url, body, headers: extra }: Parcel): Promise<{ statusCode: number, headers: IncomingHttpHeaders, body: string }> {
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
