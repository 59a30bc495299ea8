import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import {
  brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateRaw, inflateRawSync, inflateSync, type ZlibOptions
} from 'node:zlib'
import { FST_B24_ANSWER_TOO_LARGE } from '../../errors.ts'
import { unavailableError } from './call-error.ts'
import type { PortalResponse } from './classify-response.ts'
import type { ReadBudget, Release } from './read-budget.ts'

/** Maximum response size of a call without `maxBytes`. */
export const DEFAULT_MAX_BYTES = 1024 * 1024
/** Upper limit of `maxBytes`. */
export const MAX_BYTES_LIMIT = 8 * 1024 * 1024
/** Enough for the plugin's own calls; this much of every response is read without acquiring budget. */
export const SMALL_BYTES = 64 * 1024
/** How long a large response may hold its budget, in milliseconds: a slow sender would block others. */
const LARGE_RESPONSE_MS = 15_000

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
 * Reads, decompresses and parses a response within the size limit. Rejects with the signal's reason when it aborts.
 *
 * @throws FST_B24_ANSWER_TOO_LARGE, FST_B24_PORTAL_UNAVAILABLE, and errors of streams and zlib
 */
export async function readResponse ({ statusCode: status, headers, body }: RawResponse, options: ReadOptions): Promise<PortalResponse> {
  const { memberId, method, budget, signal } = options
  // Error responses are short.
  const maxBytes = Math.min(status >= 300 ? SMALL_BYTES : MAX_BYTES_LIMIT, options.maxBytes)
  let release: Release | undefined
  let timer: NodeJS.Timeout | undefined
  const reserve = async (): Promise<void> => {
    if (release !== undefined) return
    release = await budget.acquire(memberId, maxBytes, signal)
    timer = setTimeout(() => body.destroy(unavailableError(`a large response took longer than ${LARGE_RESPONSE_MS} ms`)), LARGE_RESPONSE_MS).unref()
  }
  try {
    const bytes = await collect(body, maxBytes, Number(headers['content-length']), reserve)
    const decompressed = bytes && await decompress(bytes, textOf(headers['content-encoding']), { maxBytes, freeBytes: SMALL_BYTES, reserve })
    const json = decompressed && toUtf8(decompressed)
    const exceeded = json === undefined ? `${maxBytes} bytes` : exceededJsonLimit(json, maxBytes)
    if (exceeded === undefined) return { status, headers, body: parse((json as Buffer).toString()) }
    if (status < 300) throw new FST_B24_ANSWER_TOO_LARGE(method, exceeded)
    return { status, headers, body: undefined }
  } finally {
    clearTimeout(timer)
    release?.()
  }
}

/** Returns `undefined` beyond `maxBytes`, and closes the connection. */
async function collect (body: Readable, maxBytes: number, length: number, reserve: () => Promise<void>): Promise<Buffer | undefined> {
  if (length > maxBytes) {
    body.on('error', () => {}).destroy()
    return undefined
  }
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) return undefined
    if (size > SMALL_BYTES) await reserve()
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

/** Nesting depth; no Bitrix24 method returns a fifth of it. */
const MAX_LEVELS = 64
/** 50 rows of 300 fields are 15,000 values in about 400 KB. */
const BYTES_PER_VALUE = 8
const MIN_VALUES = 1_000

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPENERS = new Set([0x5b, 0x7b])
const CLOSERS = new Set([0x5d, 0x7d])

/**
 * Returns the limit that a JSON text exceeds, in values or nesting levels; `undefined` if it is safe to parse. A few KB on the wire may
 * decompress to a million empty arrays, which take fifteen times the memory of their text.
 *
 * @param maxBytes maximum response size of the call; the number of values scales with it
 */
function exceededJsonLimit (json: Buffer, maxBytes: number): string | undefined {
  const mostValues = Math.max(MIN_VALUES, Math.floor(maxBytes / BYTES_PER_VALUE))
  let levels = 0
  let values = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === QUOTE) {
      for (at++; at < json.length && json[at] !== QUOTE; at++) if (json[at] === BACKSLASH) at++
    } else if (byte === COMMA) {
      if (++values > mostValues) return `${mostValues} values`
    } else if (OPENERS.has(byte)) {
      if (++levels > MAX_LEVELS) return `${MAX_LEVELS} levels`
      if (++values > mostValues) return `${mostValues} values`
    } else if (CLOSERS.has(byte)) levels--
  }
  return undefined
}

/** Acquires budget for a large response. */
type ReserveMemory = () => Promise<void>

interface Codec {
  now (bytes: Buffer, options: ZlibOptions): Buffer
  later (bytes: Buffer, options: ZlibOptions): Promise<Buffer>
}

const GZIP: Codec = { now: gunzipSync, later: promisify<Buffer, ZlibOptions, Buffer>(gunzip) }
const ZLIB: Codec = { now: inflateSync, later: promisify<Buffer, ZlibOptions, Buffer>(inflate) }
const DEFLATE: Codec = { now: inflateRawSync, later: promisify<Buffer, ZlibOptions, Buffer>(inflateRaw) }
const BROTLI: Codec = { now: brotliDecompressSync, later: promisify<Buffer, ZlibOptions, Buffer>(brotliDecompress) }

/** Two proxies may each compress the response. */
const MAX_CODINGS = 3
const UTF8_BOM = Buffer.from([0xef, 0xbb, 0xbf])
/** First bytes of JSON or HTML: byte order mark, white space, quote, digit, bracket. */
const TEXT_START = /^(\xef\xbb\xbf)?[ \t\r\n"\-\d[{<tfn]/

interface DecompressOptions {
  /** Maximum size after decompression. */
  maxBytes: number
  /** Size up to which `reserve` is not needed. */
  freeBytes: number
  reserve: ReserveMemory
}

/**
 * Decompresses a body by its `Content-Encoding` and its content: proxies decompress without changing the header, compress twice, and write the
 * name in capitals.
 *
 * @returns the bytes, or `undefined` when there are more than `maxBytes`
 * @throws errors of zlib for corrupt data
 */
async function decompress (body: Buffer, encoding: string | undefined, limits: DecompressOptions): Promise<Buffer | undefined> {
  const codings = (encoding ?? '').toLowerCase().split(/[\s,]+/).filter(coding => coding !== '' && coding !== 'identity')
  let bytes = body
  for (const coding of codings.length > 0 ? codings.slice(-MAX_CODINGS).reverse() : ['gzip']) {
    const codec = bytes.length === 0 ? undefined : codecOf(coding, bytes)
    if (codec === undefined) continue
    const decompressed = await decode(codec, bytes, limits).catch((error: unknown) => {
      // Brotli and raw deflate have no magic bytes, so the body may be plain text.
      if ((codec === BROTLI || codec === DEFLATE) && isText(bytes)) return bytes
      throw error
    })
    if (decompressed === undefined) return undefined
    bytes = decompressed
  }
  return bytes
}

/** Converts to UTF-8 without byte order mark; recognizes UTF-16 by its mark. */
function toUtf8 (bytes: Buffer): Buffer {
  if (bytes.subarray(0, 3).equals(UTF8_BOM)) return bytes.subarray(3)
  const bom = bytes.length < 2 ? 0 : bytes.readUInt16BE(0)
  if (bom === 0xfffe || bom === 0xfeff) return Buffer.from(new TextDecoder(bom === 0xfffe ? 'utf-16le' : 'utf-16be').decode(bytes))
  return bytes
}

/** Returns `undefined` for a body that is not compressed, whatever its header says. */
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

/** Decompresses small bodies synchronously: the thread pool would take longer. */
async function decode (codec: Codec, bytes: Buffer, { maxBytes, freeBytes, reserve }: DecompressOptions): Promise<Buffer | undefined> {
  const small = Math.min(freeBytes, maxBytes)
  if (bytes.length <= small) {
    const decompressed = withinLimit(() => codec.now(bytes, { maxOutputLength: small }))
    if (decompressed !== undefined || small === maxBytes) return decompressed
  }
  await reserve()
  return await codec.later(bytes, { maxOutputLength: maxBytes }).catch((error: unknown) => undefinedIfTooLarge(error))
}

function withinLimit (work: () => Buffer): Buffer | undefined {
  try {
    return work()
  } catch (error) {
    return undefinedIfTooLarge(error)
  }
}

function undefinedIfTooLarge (error: unknown): undefined {
  if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE') throw error
}

function isText (bytes: Buffer): boolean {
  return TEXT_START.test(bytes.toString('latin1', 0, 4))
}
