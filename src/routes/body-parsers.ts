import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { FST_B24_BODY_CONSUMED, FST_B24_ENVELOPE, FST_B24_NOT_AN_EVENT } from '../errors.ts'
import { decodeForm, encodeForm } from '../wire/form.ts'
import { decodeJson } from '../wire/json.ts'
import { describeNonEvent } from '../wire/non-events.ts'

/**
 * Adds parsers for PHP-style forms and for JSON of the same shape to a scope, without changing the host's parsers.
 *
 * @param bodyLimit maximum body size, in bytes; routes must not set a limit of their own, which would take precedence
 */
export async function addBodyParsers (scope: FastifyInstance, bodyLimit: number): Promise<void> {
  // formbody throws if the host already uses it, and the host's parser would not interpret brackets.
  scope.removeAllContentTypeParsers()
  await scope.register(formbody, { parser: decodeForm, bodyLimit })
  scope.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit }, async (_request: unknown, body: string) => decodeJson(body))
}

/** Request whose body a platform has already read: Google Cloud Functions, Vercel, `express.urlencoded()` in front. */
interface ParsedRequest extends IncomingMessage {
  /** Body decoded from a form or JSON, or its text. */
  body?: unknown
  /** Raw body. */
  rawBody?: unknown
}

/** Returns whether the body of a request has already been consumed. */
export function wasRead (raw: IncomingMessage): boolean {
  return raw.readableEnded || !raw.readable
}

/**
 * Creates a stream from an already consumed body, for the parsers.
 *
 * @throws FST_B24_BODY_CONSUMED if the request has neither the raw nor the decoded body
 */
export function streamOfParsedBody (raw: ParsedRequest): Readable {
  const announced = Number(raw.headers['content-length'])
  // Fastify compares the received length with the header, which refers to the original bytes.
  return Object.assign(Readable.from([bytesOf(raw)]), Number.isSafeInteger(announced) && { receivedEncodedLength: announced })
}

function bytesOf (raw: ParsedRequest): Buffer {
  for (const value of [read(raw, 'rawBody'), read(raw, 'body')]) {
    if (typeof value === 'string' || value instanceof Uint8Array) return Buffer.from(value as string)
    if (typeof value === 'object' && value !== null) return Buffer.from(textOf(value, raw.headers['content-type'] ?? ''))
  }
  throw new FST_B24_BODY_CONSUMED()
}

/** Vercel parses the body in a getter, which may throw. */
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

/** Loads the check with the first request, since it takes ten milliseconds of start-up time. */
export function loadEnvelopeCheck (_request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  if (check !== undefined) return done()
  import('../wire/envelope-check.ts').then((loaded) => {
    check = loaded
    done()
  }, done)
}

/** Validates the body of an event. Requires `loadEnvelopeCheck`. */
export function validateEnvelope (body: unknown): true | { error: Error } {
  const { checkEnvelope, envelopeProblem } = check as EnvelopeCheck
  const callback = describeNonEvent(body)
  if (callback === undefined && checkEnvelope(body)) return true
  return { error: callback === undefined ? new FST_B24_ENVELOPE(envelopeProblem(body)) : new FST_B24_NOT_AN_EVENT(callback) }
}
