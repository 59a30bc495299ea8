import { setMaxListeners } from 'node:events'
import { FST_B24_OAUTH_UNAVAILABLE } from '../errors.ts'

export interface RequestLimits {
  /**
   * Longest wait for the whole answer, in ms.
   * @default 5000
   */
  timeoutMs?: number | undefined
  /** Gives up when it aborts. */
  signal?: AbortSignal | undefined
}

export interface OAuthAnswer {
  status: number
  body: Record<string, unknown>
}

const LARGEST_ANSWER = 65_536

/**
 * Posts a form to an OAuth server; secrets go in the body, as URLs end up in logs.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when there is no usable answer: network, time, redirect, 5xx, no JSON object, over 64 KB
 */
export async function postForm (url: string, fields: Record<string, string>, limits: RequestLimits = {}): Promise<OAuthAnswer> {
  const { status, text } = await withinLimits(limits, signal => exchange(url, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams(fields),
    redirect: 'error',
    signal
  }))
  if (status >= 500) throw unavailable(`status ${status}`)
  if (text === undefined) throw unavailable(`more than ${LARGEST_ANSWER} bytes`)
  return { status, body: parseObject(text) }
}

/** Makes the error for a server that cannot tell now; `reason` must hold no secret. */
export function unavailable (reason: string): Error {
  return new FST_B24_OAUTH_UNAVAILABLE({ cause: new Error(reason) })
}

/**
 * Runs `request` with a signal that aborts at the limits. `AbortSignal.any` would do, were it not that Node 20 keeps a
 * reference to each of its signals on the one it follows, for as long as that lives.
 */
async function withinLimits<T> (limits: RequestLimits, request: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { timeoutMs = 5000, signal } = limits
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new DOMException('No answer in time', 'TimeoutError')), timeoutMs).unref()
  const follow = () => controller.abort(signal?.reason)
  if (signal !== undefined) {
    // As many listeners as requests under way are no leak, of which Node would warn from the eleventh on.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', follow)
    if (signal.aborted) follow()
  }
  try {
    return await request(controller.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', follow)
  }
}

async function exchange (url: string, init: RequestInit): Promise<{ status: number, text: string | undefined }> {
  try {
    const response = await fetch(url, init)
    return { status: response.status, text: await readCapped(response) }
  } catch (error) {
    throw unavailable(networkReason(error as Error))
  }
}

async function readCapped (response: Response): Promise<string | undefined> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > LARGEST_ANSWER) return undefined
    text += decoder.decode(chunk, { stream: true })
  }
  return text
}

/** Names a failure by its code alone: messages of `fetch` and of `JSON.parse` may quote what was sent or received. */
function networkReason (error: Error): string {
  const { code } = (error.cause ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}

function parseObject (text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw unavailable('no JSON')
  }
  if (!isObject(value)) throw unavailable('no JSON object')
  return value
}

/** Tells a JSON object from every other JSON value. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
