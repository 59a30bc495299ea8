import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import {
  brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateRaw, inflateRawSync, inflateSync, type ZlibOptions
} from 'node:zlib'
import { FST_B24_ANSWER_TOO_LARGE } from '../../errors.ts'
import { unavailableError } from './call-error.ts'
import type { PortalResponse } from './classify-response.ts'
import type { ReadBudget, Release } from './read-budget.ts'

/** Largest answer of a call that asks for no other, in bytes. */
export const MAX_BYTES = 1024 * 1024
/** Largest answer that a call may ask for, in bytes. */
export const MOST_MAX_BYTES = 8 * 1024 * 1024
/** What the plugin itself asks for needs less than this, in bytes; so much of every answer is read without asking the budget. */
export const SMALL_BYTES = 64 * 1024
/** Longest that a large answer may take from its budget, ms: who sends slowly would keep others waiting. */
const LARGE_MS = 15_000

interface RawResponse {
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: Readable
}

interface ReadOptions {
  memberId: string
  method: string
  maxBytes: number
  budget: ReadBudget
  signal: AbortSignal
}

/**
 * Reads an answer, unpacks and parses it, within its size. Rejects with the reason of `signal` when that aborts.
 *
 * @throws FST_B24_ANSWER_TOO_LARGE, FST_B24_PORTAL_UNAVAILABLE, and as streams and zlib
 */
export async function readResponse ({ statusCode: status, headers, body }: RawResponse, options: ReadOptions): Promise<PortalResponse> {
  const { memberId, method, budget, signal } = options
  // Errors are short; a page of 8 MB is none.
  const maxBytes = Math.min(status >= 300 ? SMALL_BYTES : MOST_MAX_BYTES, options.maxBytes)
  let release: Release | undefined
  let timer: NodeJS.Timeout | undefined
  const grow = async (): Promise<void> => {
    if (release !== undefined) return
    release = await budget.acquire(memberId, maxBytes, signal)
    timer = setTimeout(() => body.destroy(unavailableError(`a large answer took longer than ${LARGE_MS} ms`)), LARGE_MS).unref()
  }
  try {
    const bytes = await collect(body, maxBytes, Number(headers['content-length']), grow)
    const unpacked = bytes && await unpack(bytes, textOf(headers['content-encoding']), { maxBytes, freeBytes: SMALL_BYTES, grow })
    const json = unpacked && utf8Of(unpacked)
    const excess = json === undefined ? `${maxBytes} bytes` : excessOf(json, maxBytes)
    if (excess === undefined) return { status, headers, body: parse((json as Buffer).toString()) }
    if (status < 300) throw new FST_B24_ANSWER_TOO_LARGE(method, excess)
    return { status, headers, body: undefined }
  } finally {
    clearTimeout(timer)
    release?.()
  }
}

/** `undefined` when there is more than `maxBytes`: the connection is then closed. */
async function collect (body: Readable, maxBytes: number, length: number, grow: () => Promise<void>): Promise<Buffer | undefined> {
  if (length > maxBytes) {
    // What it fails with is of no interest any more.
    body.on('error', () => {}).destroy()
    return undefined
  }
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) return undefined
    if (size > SMALL_BYTES) await grow()
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, size)
}

function textOf (header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(',') : header
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Levels of maps and lists; no method of Bitrix24 answers with a fifth of them. */
const MOST_LEVELS = 64
/** A list of 50 rows with 300 fields has 15,000 values in some 400 KB. */
const BYTES_PER_VALUE = 8
const LEAST_VALUES = 1_000

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPENERS = new Set([0x5b, 0x7b])
const CLOSERS = new Set([0x5d, 0x7d])

/**
 * Says what a text of JSON has too much of to be parsed, values or levels; `undefined` when it may be. A few KB on the wire may unpack to
 * a million empty lists, which take fifteen times the memory of their text.
 *
 * @param maxBytes largest answer that the call takes: with it grows how many values it may have
 */
function excessOf (json: Buffer, maxBytes: number): string | undefined {
  const mostValues = Math.max(LEAST_VALUES, Math.floor(maxBytes / BYTES_PER_VALUE))
  let levels = 0
  let values = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === QUOTE) {
      for (at++; at < json.length && json[at] !== QUOTE; at++) if (json[at] === BACKSLASH) at++
    } else if (byte === COMMA) {
      if (++values > mostValues) return `${mostValues} values`
    } else if (OPENERS.has(byte)) {
      if (++levels > MOST_LEVELS) return `${MOST_LEVELS} levels`
      if (++values > mostValues) return `${mostValues} values`
    } else if (CLOSERS.has(byte)) levels--
  }
  return undefined
}

/** Waits for the memory of a large answer. */
type Grow = () => Promise<void>

interface Codec {
  now (bytes: Buffer, options: ZlibOptions): Buffer
  later (bytes: Buffer, options: ZlibOptions): Promise<Buffer>
}

const GZIP: Codec = { now: gunzipSync, later: promisify<Buffer, ZlibOptions, Buffer>(gunzip) }
const ZLIB: Codec = { now: inflateSync, later: promisify<Buffer, ZlibOptions, Buffer>(inflate) }
const DEFLATE: Codec = { now: inflateRawSync, later: promisify<Buffer, ZlibOptions, Buffer>(inflateRaw) }
const BROTLI: Codec = { now: brotliDecompressSync, later: promisify<Buffer, ZlibOptions, Buffer>(brotliDecompress) }

/** Two proxies may each pack what they pass on. */
const MOST_CODINGS = 3
const UTF8_MARK = Buffer.from([0xef, 0xbb, 0xbf])
/** What JSON begins with: white space, a quote, a digit, a bracket, a byte order mark. */
const TEXT = /^(\xef\xbb\xbf)?[ \t\r\n"\-\d[{<tfn]/

interface UnpackLimits {
  /** Most bytes that come out. */
  maxBytes: number
  /** Bytes that may come out before `grow` is asked. */
  freeBytes: number
  grow: Grow
}

/**
 * Unpacks a body by its `Content-Encoding`, and by what it is: proxies unpack without saying so, pack twice, and write the name in capitals.
 *
 * @returns the bytes, or `undefined` when there are more than `maxBytes`
 * @throws the error of zlib for what cannot be unpacked
 */
async function unpack (body: Buffer, encoding: string | undefined, limits: UnpackLimits): Promise<Buffer | undefined> {
  const codings = (encoding ?? '').toLowerCase().split(/[\s,]+/).filter(coding => coding !== '' && coding !== 'identity')
  let bytes = body
  for (const coding of codings.length > 0 ? codings.slice(-MOST_CODINGS).reverse() : ['gzip']) {
    const codec = bytes.length === 0 ? undefined : codecOf(coding, bytes)
    if (codec === undefined) continue
    const unpacked = await decode(codec, bytes, limits).catch((error: unknown) => {
      // These two begin with nothing that tells them from text.
      if ((codec === BROTLI || codec === DEFLATE) && isText(bytes)) return bytes
      throw error
    })
    if (unpacked === undefined) return undefined
    bytes = unpacked
  }
  return bytes
}

/** As UTF-8 without a byte order mark. UTF-16 has one, by which it is known. */
function utf8Of (bytes: Buffer): Buffer {
  if (bytes.subarray(0, 3).equals(UTF8_MARK)) return bytes.subarray(3)
  const mark = bytes.length < 2 ? 0 : bytes.readUInt16BE(0)
  if (mark === 0xfffe || mark === 0xfeff) return Buffer.from(new TextDecoder(mark === 0xfffe ? 'utf-16le' : 'utf-16be').decode(bytes))
  return bytes
}

/** `undefined` for what is not packed, whatever its header says. */
function codecOf (coding: string, bytes: Buffer): Codec | undefined {
  const [first = 0, second = 0] = bytes
  switch (coding) {
    case 'gzip':
    case 'x-gzip': return first === 0x1f && second === 0x8b ? GZIP : undefined
    case 'deflate':
    case 'x-deflate': return (first & 15) === 8 && (first << 8 | second) % 31 === 0 ? ZLIB : DEFLATE
    case 'br': return BROTLI
    default: return undefined
  }
}

/** Small answers are unpacked at once: a trip to another thread takes longer. */
async function decode (codec: Codec, bytes: Buffer, { maxBytes, freeBytes, grow }: UnpackLimits): Promise<Buffer | undefined> {
  const small = Math.min(freeBytes, maxBytes)
  if (bytes.length <= small) {
    const unpacked = withinSize(() => codec.now(bytes, { maxOutputLength: small }))
    if (unpacked !== undefined || small === maxBytes) return unpacked
  }
  await grow()
  return await codec.later(bytes, { maxOutputLength: maxBytes }).catch((error: unknown) => tooLarge(error))
}

function withinSize (work: () => Buffer): Buffer | undefined {
  try {
    return work()
  } catch (error) {
    return tooLarge(error)
  }
}

function tooLarge (error: unknown): undefined {
  if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE') throw error
}

function isText (bytes: Buffer): boolean {
  return TEXT.test(bytes.toString('latin1', 0, 4))
}
