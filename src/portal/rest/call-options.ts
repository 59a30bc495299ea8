import { FST_B24_INVALID_CALL } from '../../errors.ts'
import { didYouMean, isIntegerIn, isText } from '../../validation.ts'
import { MOST_MAX_BYTES } from './read-response.ts'

/** How to make a request. */
export interface RequestOptions {
  /** Breaks the call off; it then rejects with the reason of the signal. */
  signal?: AbortSignal | undefined
  /**
   * Longest that the call may take as a whole, waits and a new token included, ms. It then rejects with FST_B24_PORTAL_UNAVAILABLE.
   * @default 65000
   */
  timeoutMs?: number | undefined
  /** Largest answer in bytes, unpacked; 8 MB at most. @default 1048576, and 65536 for methods whose answers are short */
  maxBytes?: number | undefined
}

export interface CallOptions extends RequestOptions {
  /**
   * 3 for REST 3 (`/rest/api/`), which has methods of its own.
   * @default 2
   * @see https://apidocs.bitrix24.com/api-reference/rest-v3.html
   */
  version?: 2 | 3 | undefined
  /**
   * Makes repeats of a call that writes safe, for 24 hours: the portal runs it once and gives the same answer again. 1 to 255 printable ASCII characters,
   * such as `event.id`. Of REST 3 alone.
   */
  idempotencyKey?: string | undefined
}

export interface BatchOptions extends RequestOptions {
  /** Whether the calls after the first that fails are left out. @default true */
  halt?: boolean | undefined
  /** 3 for a batch of REST 3, which runs as a whole or not at all: it has no `halt`. @default 2 */
  version?: 2 | 3 | undefined
}

export interface ListOptions extends RequestOptions {
  /**
   * How to get from page to page: by the ids of the items, which shifts nothing and counts nothing; or by `start`, which methods take that know no
   * filter or order by id. With `start` a list that changes meanwhile may give an item twice, or not at all.
   * @default by id, and by `start` where a method knows no id
   */
  paging?: 'id' | 'start' | undefined
  /** Name of the id in the items. @default `id` or `ID`, whichever the first item has */
  idKey?: string | undefined
  /**
   * Name of the id in filter and order. With this or `idKey`, a list of more than one page takes one call less.
   * @default that of the id in the items, and the same in other letters
   */
  cursorIdKey?: string | undefined
}

/** Bitrix24 breaks a request off after 60 s. */
export const CALL_TIMEOUT_MS = 65_000
/** Largest delay of a timer. */
const LONGEST_MS = 2 ** 31 - 1
/** Every method that there is; nothing that would change the address of a call. */
const METHOD = /^\w+(?:[.-]\w+)*$/
const LONGEST_METHOD = 200
const LONGEST_QUOTE = 60

type Check = [isGood: (value: unknown) => boolean, wanted: string]

const CHECKS: Record<string, Check> = {
  signal: [isSignal, 'an AbortSignal'],
  timeoutMs: [value => isIntegerIn(value, 1, LONGEST_MS), 'a whole number of ms, at least 1'],
  maxBytes: [value => isIntegerIn(value, 1, MOST_MAX_BYTES), `a whole number of bytes from 1 to ${MOST_MAX_BYTES}`],
  version: [value => value === 2 || value === 3, '2 or 3'],
  idempotencyKey: [value => typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value), '1 to 255 printable ASCII characters'],
  halt: [value => typeof value === 'boolean', 'true or false'],
  paging: [value => value === 'id' || value === 'start', "'id' or 'start'"],
  idKey: [isText, 'a name'],
  cursorIdKey: [isText, 'a name']
}

const REQUEST = ['signal', 'timeoutMs', 'maxBytes']
const KNOWN = {
  call: [...REQUEST, 'version', 'idempotencyKey'],
  batch: [...REQUEST, 'halt', 'version'],
  list: [...REQUEST, 'paging', 'idKey', 'cursorIdKey']
}

/** @throws FST_B24_INVALID_CALL for a method that cannot be the name of one: it would be another address, or a query */
export function checkMethod (method: unknown): asserts method is string {
  if (typeof method !== 'string' || method.length > LONGEST_METHOD || !METHOD.test(method)) throw new FST_B24_INVALID_CALL(`${quote(method)} is not the name of a method`)
}

/** @throws FST_B24_INVALID_CALL for an option that is unknown, of the wrong kind, or does not go with another */
export function checkCallOptions (owner: keyof typeof KNOWN, options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new FST_B24_INVALID_CALL(`the options of ${owner} are ${quote(options)}`)
  for (const [name, value] of Object.entries(options)) {
    if (!KNOWN[owner].includes(name)) throw new FST_B24_INVALID_CALL(`${owner} has no option '${name.slice(0, LONGEST_QUOTE)}'${didYouMean(name, KNOWN[owner])}`)
    const [isGood, wanted] = CHECKS[name] as Check
    if (value !== undefined && !isGood(value)) throw new FST_B24_INVALID_CALL(`option '${name}' of ${owner} must be ${wanted}`)
  }
  const { version, idempotencyKey, halt, paging, idKey, cursorIdKey } = options as CallOptions & BatchOptions & ListOptions
  if (idempotencyKey !== undefined && version !== 3) throw new FST_B24_INVALID_CALL("option 'idempotencyKey' needs version: 3, as classic REST does not know it")
  if (halt !== undefined && version === 3) throw new FST_B24_INVALID_CALL("option 'halt' is not for version 3, whose batches run as a whole or not at all")
  if (paging === 'start' && (idKey ?? cursorIdKey) !== undefined) throw new FST_B24_INVALID_CALL("options 'idKey' and 'cursorIdKey' are for paging by id")
}

function isSignal (value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value
}

function quote (value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, LONGEST_QUOTE)}'` : value === null ? 'null' : `of type ${typeof value}`
}
