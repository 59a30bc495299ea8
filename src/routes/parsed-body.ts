import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { FST_B24_BODY_CONSUMED } from '../errors.ts'
import { encodeTree } from '../wire/encode-tree.ts'

/** What a platform leaves on a request whose body it has read: Google Cloud Functions, Vercel, `express.urlencoded()` in front. */
interface ParsedRequest extends IncomingMessage {
  /** Decoded as a form or as JSON, or the text of it. */
  body?: unknown
  /** As it came. */
  rawBody?: unknown
}

/** Returns whether the body of a request has been read before, so that nothing more comes of it. */
export function wasRead (raw: IncomingMessage): boolean {
  return raw.readableEnded || !raw.readable
}

/**
 * Makes a stream of a body that was read before, for the parsers.
 *
 * @throws FST_B24_BODY_CONSUMED where the request has neither the body nor what was made of it
 */
export function streamOfParsed (raw: ParsedRequest): Readable {
  const announced = Number(raw.headers['content-length'])
  // Fastify compares what it reads with the header, which is that of the bytes that were read before.
  return Object.assign(Readable.from([bytesOf(raw)]), Number.isSafeInteger(announced) && { receivedEncodedLength: announced })
}

function bytesOf (raw: ParsedRequest): Buffer {
  for (const value of [read(raw, 'rawBody'), read(raw, 'body')]) {
    if (typeof value === 'string' || value instanceof Uint8Array) return Buffer.from(value as string)
    if (typeof value === 'object' && value !== null) return Buffer.from(textOf(value, raw.headers['content-type'] ?? ''))
  }
  throw new FST_B24_BODY_CONSUMED()
}

/** Vercel parses the body in a getter, which throws. */
function read (raw: ParsedRequest, key: 'body' | 'rawBody'): unknown {
  try {
    return raw[key]
  } catch {
    return undefined
  }
}

function textOf (tree: object, contentType: string): string {
  try {
    return /\bjson\b/i.test(contentType) ? JSON.stringify(tree) : encodeTree(tree)
  } catch {
    throw new FST_B24_BODY_CONSUMED()
  }
}
