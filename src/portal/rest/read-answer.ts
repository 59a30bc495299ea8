import type { Readable } from 'node:stream'
import { FST_B24_ANSWER_TOO_LARGE } from '../../errors.ts'
import { unavailableError } from './call-error.ts'
import type { PortalAnswer } from './classify-response.ts'
import { excessOf } from './json-shape.ts'
import type { ReadBudget, Release } from './read-budget.ts'
import { unpack, utf8Of } from './unpack.ts'

/** Largest answer of a call that asks for no other, in bytes. */
export const MAX_BYTES = 1024 * 1024
/** Largest answer that a call may ask for, in bytes. */
export const MOST_MAX_BYTES = 8 * 1024 * 1024
/** What the plugin itself asks for needs less than this, in bytes; so much of every answer is read without asking the budget. */
export const SMALL_BYTES = 64 * 1024
/** Longest that a large answer may take from its budget, ms: who sends slowly would keep others waiting. */
const LARGE_MS = 15_000

export interface RawAnswer {
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: Readable
}

export interface ReadOptions {
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
export async function readAnswer ({ statusCode: status, headers, body }: RawAnswer, options: ReadOptions): Promise<PortalAnswer> {
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
