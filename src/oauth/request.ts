import { FST_B24_OAUTH_UNAVAILABLE } from '../errors.ts'
import type { HttpDispatcher } from '../http-dispatcher.ts'
import { type TimeoutOptions, withTimeout } from '../async/with-timeout.ts'
import { isObject } from '../validation.ts'

export interface OAuthAnswer {
  status: number
  body: Record<string, unknown>
}

export interface OAuthRequestOptions extends TimeoutOptions {
  /** Sends the request. @default that of `fetch` */
  dispatcher?: HttpDispatcher | undefined
}

const LARGEST_ANSWER = 65_536

/**
 * Posts a form to an OAuth server; secrets go in the body, as URLs end up in logs.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when there is no usable answer: network, time, redirect, 5xx, no JSON object, over 64 KB
 */
export async function postForm (url: string, fields: Record<string, string>, limits: OAuthRequestOptions = {}): Promise<OAuthAnswer> {
  const { status, text } = await withTimeout(limits, signal => exchange(url, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams(fields),
    redirect: 'error',
    signal,
    // A property of the `fetch` of Node.js, which its types do not know.
    ...(limits.dispatcher !== undefined && { dispatcher: limits.dispatcher })
  } as unknown as RequestInit))
  if (status >= 500) throw unavailable(`status ${status}`)
  if (text === undefined) throw unavailable(`more than ${LARGEST_ANSWER} bytes`)
  return { status, body: parseObject(text) }
}

/** Makes the error for a server that cannot tell now; `reason` must hold no secret. */
export function unavailable (reason: string): Error {
  return new FST_B24_OAUTH_UNAVAILABLE(reason, { cause: new Error(reason) })
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
