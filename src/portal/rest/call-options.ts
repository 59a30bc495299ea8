import { FST_B24_INVALID_CALL } from '../../errors.ts'
import { didYouMean, isIntegerIn, isText } from '../../validation.ts'
import { MAX_BYTES_LIMIT } from './read-response.ts'

export interface RequestOptions {
  /** Aborts the call, which rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /**
   * Deadline for the whole call, including rate-limit waits and a token refresh, in milliseconds. Rejects with FST_B24_PORTAL_UNAVAILABLE.
   * @default 65000
   */
  timeoutMs?: number | undefined
  /** Maximum response size in bytes after decompression, up to 8 MB. @default 1048576; 65536 for methods with short responses */
  maxBytes?: number | undefined
}

export interface CallOptions extends RequestOptions {
  /**
   * REST API version. Version 3 (`/rest/api/`) has its own methods.
   * @default 2
   * @see https://apidocs.bitrix24.com/api-reference/rest-v3.html
   */
  version?: 2 | 3 | undefined
  /**
   * Makes retries of a write safe for 24 hours: the portal runs it once and repeats its response. 1 to 255 printable ASCII characters, such as
   * `event.id`. REST 3 only.
   */
  idempotencyKey?: string | undefined
}

export interface BatchOptions extends RequestOptions {
  /** Whether to skip the remaining calls after the first failure. @default true */
  halt?: boolean | undefined
  /** REST API version. A batch of version 3 is atomic and has no `halt`. @default 2 */
  version?: 2 | 3 | undefined
}

export interface ListOptions extends RequestOptions {
  /**
   * Pagination by item id, which is stable under changes and skips the count; or by `start` offset, for methods that cannot filter or order by id.
   * With `start`, a list that changes meanwhile may repeat or miss items.
   * @default by id, falling back to `start` where a method does not support it
   */
  paging?: 'id' | 'start' | undefined
  /** Name of the id field in the items. @default `id` or `ID`, whichever the first item has */
  idKey?: string | undefined
  /**
   * Name of the id field in filter and order. With this or `idKey`, a list of several pages takes one call less.
   * @default the name in the items, then the same in the other case
   */
  cursorIdKey?: string | undefined
}

/** Bitrix24 aborts a request after 60 s. */
export const CALL_TIMEOUT_MS = 65_000
/** Maximum delay of a Node.js timer. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1
/** Matches every existing method, and nothing that would change the URL of a call. */
const METHOD = /^\w+(?:[.-]\w+)*$/
const MAX_METHOD_LENGTH = 200
const MAX_QUOTE_LENGTH = 60

type Check = [isValid: (value: unknown) => boolean, wanted: string]

const CHECKS: Record<string, Check> = {
  signal: [isSignal, 'an AbortSignal'],
  timeoutMs: [value => isIntegerIn(value, 1, MAX_TIMEOUT_MS), 'a whole number of ms, at least 1'],
  maxBytes: [value => isIntegerIn(value, 1, MAX_BYTES_LIMIT), `a whole number of bytes from 1 to ${MAX_BYTES_LIMIT}`],
  version: [value => value === 2 || value === 3, '2 or 3'],
  idempotencyKey: [value => typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value), '1 to 255 printable ASCII characters'],
  halt: [value => typeof value === 'boolean', 'true or false'],
  paging: [value => value === 'id' || value === 'start', "'id' or 'start'"],
  idKey: [isText, 'a name'],
  cursorIdKey: [isText, 'a name']
}

const REQUEST_OPTIONS = ['signal', 'timeoutMs', 'maxBytes']
const OPTIONS = {
  call: [...REQUEST_OPTIONS, 'version', 'idempotencyKey'],
  batch: [...REQUEST_OPTIONS, 'halt', 'version'],
  list: [...REQUEST_OPTIONS, 'paging', 'idKey', 'cursorIdKey']
}

/** @throws FST_B24_INVALID_CALL for anything that would change the URL or its query */
export function checkMethod (method: unknown): asserts method is string {
  if (typeof method !== 'string' || method.length > MAX_METHOD_LENGTH || !METHOD.test(method)) throw new FST_B24_INVALID_CALL(`${quote(method)} is not a method name`)
}

/** @throws FST_B24_INVALID_CALL for options that are unknown, invalid or conflicting */
export function checkCallOptions (owner: keyof typeof OPTIONS, options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new FST_B24_INVALID_CALL(`options of ${owner} must be an object, not ${quote(options)}`)
  for (const [name, value] of Object.entries(options)) {
    if (!OPTIONS[owner].includes(name)) throw new FST_B24_INVALID_CALL(`${owner} has no option '${name.slice(0, MAX_QUOTE_LENGTH)}'${didYouMean(name, OPTIONS[owner])}`)
    const [isValid, wanted] = CHECKS[name] as Check
    if (value !== undefined && !isValid(value)) throw new FST_B24_INVALID_CALL(`option '${name}' of ${owner} must be ${wanted}`)
  }
  const { version, idempotencyKey, halt, paging, idKey, cursorIdKey } = options as CallOptions & BatchOptions & ListOptions
  if (idempotencyKey !== undefined && version !== 3) throw new FST_B24_INVALID_CALL("option 'idempotencyKey' requires version: 3")
  if (halt !== undefined && version === 3) throw new FST_B24_INVALID_CALL("option 'halt' is not supported by version 3, whose batches are atomic")
  if (paging === 'start' && (idKey ?? cursorIdKey) !== undefined) throw new FST_B24_INVALID_CALL("options 'idKey' and 'cursorIdKey' require paging by id")
}

function isSignal (value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value
}

function quote (value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, MAX_QUOTE_LENGTH)}'` : value === null ? 'null' : `of type ${typeof value}`
}
