import { request, type IncomingHttpHeaders } from 'node:http'
import { pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createGunzip } from 'node:zlib'

/** One POST to the app and what it answered. */
export interface Delivery {
  /** 0 when no answer came: refused, broken off, or none within 30 seconds. */
  statusCode: number
  headers: IncomingHttpHeaders
  body: string
  /** Why no answer came: `ECONNREFUSED`, `ECONNRESET`, `ABORT_ERR` after 30 seconds. */
  error?: string
  json<T = unknown> (): T
  /** Posts the very same bytes once more, as a network may, or someone who saw them. */
  repeat (): Promise<Delivery>
}

export interface Parcel {
  url: string
  body: string | Buffer
  headers?: Record<string, string>
}

const LONGEST_WAIT_MS = 30_000

/** Posts as Bitrix24's queue does: one connection for each delivery, no redirect followed, never a second try. */
export async function deliver (parcel: Parcel): Promise<Delivery> {
  try {
    const response = await post(parcel)
    return delivered(parcel, response.statusCode, response.headers, response.body)
  } catch (error) {
    return { ...delivered(parcel, 0, {}, ''), error: String((error as NodeJS.ErrnoException).code) }
  }
}

function delivered (parcel: Parcel, statusCode: number, headers: IncomingHttpHeaders, body: string): Delivery {
  return { statusCode, headers, body, json: () => JSON.parse(body), repeat: async () => await deliver(parcel) }
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
