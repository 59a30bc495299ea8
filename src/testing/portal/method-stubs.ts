import { hash } from 'node:crypto'
import type { Row } from './row-query.ts'
import type { SimulatedUser } from './users.ts'

/**
 * Implements a REST method: receives the parameters (text inside a batch) and the calling user, returns the `result`. A thrown `RestError`
 * becomes the error response of the portal.
 */
export type MethodStub = (params: Row, user: SimulatedUser) => unknown

export interface StubOptions {
  /** 3: REST 3 at `/rest/api/`, with its own error format. @default 2 */
  version?: 2 | 3
}

/** Format of a list response. */
export interface ListOptions {
  /** Key of the rows in `result`, such as `items`. @default `result` contains the rows */
  key?: string
  /** `false`: all rows in one response, as some methods do. @default true, 50 rows per page */
  paged?: boolean
}

/** Rows of a stubbed list method. */
export interface ListedRows extends ListOptions {
  rows: readonly Row[]
}

/** Stubbed REST methods of a portal. */
export class MethodStubs<Answer> {
  readonly #answers = new Map<string, Answer>()

  /** @param method in small letters */
  get (method: string): Answer | undefined {
    return this.#answers.get(method)
  }

  /** @returns a function that restores the previous stub */
  set (method: string, answer: Answer): () => void {
    const name = method.toLowerCase()
    const before = this.#answers.get(name)
    this.#answers.set(name, answer)
    return () => {
      if (before === undefined) this.#answers.delete(name)
      else this.#answers.set(name, before)
    }
  }
}

/** A REST request to a portal, with names of methods and parameters only, so it can be printed. */
export interface RestRecord {
  /** In small letters. */
  method: string
  /** Names of body parameters. */
  inBody: string[]
  /** Names of query parameters, which must include no secret: proxies log URLs. */
  inUrl: string[]
  /** Methods of a `batch`. */
  commands?: string[]
  /** Set for calls of REST 3. */
  version?: 3
  /** HTTP status; absent until there is a response. */
  status?: number
}

export interface KeyedCall {
  clientId: string
  userId: number
  method: string
  /** The `Idempotency-Key`. */
  key: string
  /** Parameters without the token. */
  params: unknown
}

interface StoredAnswer {
  digest: string
  at: number
  body: object
}

const STORED_MS = 24 * 3_600_000

/**
 * Responses that REST 3 repeats for the same `Idempotency-Key` of an app, user and method, for a day.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/rest-v3.md#idempotency
 */
export class IdempotentAnswers {
  readonly #now: () => number
  readonly #answers = new Map<string, StoredAnswer>()

  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  /** @returns the first response; `'other'` if that call had other parameters; `undefined` for a new key */
  find (call: KeyedCall): object | 'other' | undefined {
    const known = this.#answers.get(nameOf(call))
    if (known === undefined || this.#now() - known.at >= STORED_MS) return undefined
    return known.digest === digestOf(call) ? known.body : 'other'
  }

  store (call: KeyedCall, body: object): void {
    this.#answers.set(nameOf(call), { digest: digestOf(call), at: this.#now(), body })
  }
}

function nameOf ({ clientId, userId, method, key }: KeyedCall): string {
  return JSON.stringify([clientId, userId, method, key])
}

function digestOf ({ params }: KeyedCall): string {
  return hash('sha256', JSON.stringify(params))
}
