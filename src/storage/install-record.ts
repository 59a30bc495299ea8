import { randomBytes } from 'node:crypto'
import type { Install } from '../installs/install.ts'
import type { StoredInstall } from './install-store.ts'
import { storeUnavailable } from './unavailable.ts'

/**
 * Encodes a record as one Redis value: `<version>.<nonce> <json>`. A script compares the version without parsing the JSON. The nonce makes
 * each write unique, so that a write repeated after a lost connection is recognized as done.
 */
export function encodeRecord (version: number, install: Install): string {
  return `${version}.${randomBytes(6).toString('base64url')} ${JSON.stringify(install)}`
}

/** @throws FST_B24_STORE_UNAVAILABLE if `encodeRecord` did not write the value for this portal */
export function decodeRecord (memberId: string, value: string): StoredInstall {
  const install = parseInstall(memberId, value.slice(value.indexOf(' ') + 1))
  const version = Number.parseInt(value, 10)
  if (!(version > 0)) throw unreadable(memberId)
  return { version, install }
}

/** @throws FST_B24_STORE_UNAVAILABLE if `json` is not the record of this portal */
export function parseInstall (memberId: string, json: string): Install {
  let install: Install | null
  try {
    install = JSON.parse(json)
  } catch {
    // The parser's own message would quote the record.
    throw unreadable(memberId)
  }
  if (install?.memberId !== memberId) throw unreadable(memberId)
  return install
}

function unreadable (memberId: string): Error {
  return storeUnavailable(new Error(`The record of portal ${memberId} is unreadable`))
}

/** Maximum cached records; each takes about 4 KB including its text. */
const MAX_RECORDS = 1_000

type Decode<T> = (memberId: string, text: string) => T

/**
 * Parses each version of a record only once: a record is read with every event of its portal and seldom changes. The complete text is compared
 * every time, so the result is never outdated.
 */
export class ParseCache<T extends object> {
  readonly #decode: Decode<T>
  readonly #read = new Map<string, { text: string, record: T }>()

  constructor (decode: Decode<T>) {
    this.#decode = decode
  }

  /**
   * Returns the parsed record. All callers share one object, which is frozen.
   * @throws the error of `decode`
   */
  of (memberId: string, text: string): T {
    const known = this.#read.get(memberId)
    if (known?.text === text) return known.record
    const record = freeze(this.#decode(memberId, text))
    if (known === undefined && this.#read.size >= MAX_RECORDS) this.#evictOldest()
    this.#read.set(memberId, { text, record })
    return record
  }

  #evictOldest (): void {
    const [oldest] = this.#read.keys()
    this.#read.delete(oldest!)
  }
}

/** Freezes an object deeply. */
function freeze<T extends object> (value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) freeze(inner)
  return Object.freeze(value)
}
