import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { FST_B24_BODY_CONSUMED, FST_B24_ENVELOPE, FST_B24_NOT_AN_EVENT } from '../errors.ts'
import { decodeForm, encodeForm } from '../wire/form.ts'
import { decodeJson } from '../wire/json.ts'
import { describeNonEvent } from '../wire/non-events.ts'

/**
 * Reads forms as PHP writes them, and JSON of the same shape; nothing else. The host's parsers stay as they are.
 *
 * @param bodyLimit largest body, in bytes; a route must have no limit of its own, for that would be the one that counts
 */
export async function addBodyParsers (scope: FastifyInstance, bodyLimit: number): Promise<void> {
  // Removed first: formbody throws where the host has it already, and the host's parser would read brackets flat.
  scope.removeAllContentTypeParsers()
  await scope.register(formbody, { parser: decodeForm, bodyLimit })
  scope.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit }, async (_request: unknown, body: string) => decodeJson(body))
}

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
export function streamOfParsedBody (raw: ParsedRequest): Readable {
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
    return /\bjson\b/i.test(contentType) ? JSON.stringify(tree) : encodeForm(tree)
  } catch {
    throw new FST_B24_BODY_CONSUMED()
  }
}

type EnvelopeCheck = typeof import('../wire/envelope-check.ts')

let check: EnvelopeCheck | undefined

/** Loads the check with the first post: at the start it would cost every app ten milliseconds. */
export function loadEnvelopeCheck (_request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  if (check !== undefined) return done()
  import('../wire/envelope-check.ts').then((loaded) => {
    check = loaded
    done()
  }, done)
}

/** Validates the body of an event, once the check is loaded. */
export function validateEnvelope (body: unknown): true | { error: Error } {
  const { checkEnvelope, envelopeProblem } = check as EnvelopeCheck
  const callback = describeNonEvent(body)
  if (callback === undefined && checkEnvelope(body)) return true
  return { error: callback === undefined ? new FST_B24_ENVELOPE(envelopeProblem(body)) : new FST_B24_NOT_AN_EVENT(callback) }
}
