import { promisify } from 'node:util'
import { brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateRaw, inflateRawSync, inflateSync, type ZlibOptions } from 'node:zlib'

/** Waits for the memory of a large answer. */
export type Grow = () => Promise<void>

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

export interface UnpackLimits {
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
export async function unpack (body: Buffer, encoding: string | undefined, limits: UnpackLimits): Promise<Buffer | undefined> {
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
export function utf8Of (bytes: Buffer): Buffer {
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
