import { FST_B24_OAUTH_UNAVAILABLE } from '../errors.ts'
import { type TimeoutOptions, withTimeout } from '../async/with-timeout.ts'
import { isObject } from '../validation.ts'

/**
 * A `Dispatcher` of undici 6 or later, such as its `ProxyAgent`. Typed structurally, so that no undici version becomes part of the public types.
 */
export interface HttpDispatcher {
  dispatch (options: never, handler: never): boolean
}

export interface OAuthResponse {
  status: number
  body: Record<string, unknown>
}

export interface OAuthRequestOptions extends TimeoutOptions {
  /** Sends the request. @default that of `fetch` */
  dispatcher?: HttpDispatcher | undefined
}

const MAX_RESPONSE_BYTES = 65_536

/**
 * Posts a form to an OAuth server. Secrets go into the body, because URLs end up in logs.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE on network errors, timeout, redirect, 5xx, a body that is not a JSON object, or one over 64 KB
 */
export async function postForm (url: string, fields: Record<string, string>, options: OAuthRequestOptions = {}): Promise<OAuthResponse> {
  const { status, text } = await withTimeout(options, signal => exchange(url, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams(fields),
    redirect: 'error',
    signal,
    // An option of Node's fetch that its types lack.
    ...(options.dispatcher !== undefined && { dispatcher: options.dispatcher })
  } as unknown as RequestInit))
  if (status >= 500) throw unavailable(`status ${status}`)
  if (text === undefined) throw unavailable(`more than ${MAX_RESPONSE_BYTES} bytes`)
  return { status, body: parseObject(text) }
}

/** Creates FST_B24_OAUTH_UNAVAILABLE; `reason` must contain no secret. */
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
    if (size > MAX_RESPONSE_BYTES) return undefined
    text += decoder.decode(chunk, { stream: true })
  }
  return text
}

/** Uses the error code only: messages of `fetch` and `JSON.parse` may quote what was sent or received. */
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
