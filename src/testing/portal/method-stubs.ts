import { hash } from 'node:crypto'
import type { Row } from './row-query.ts'
import type { SimulatedUser } from './users.ts'

/**
 * Answers a REST method: gets the parameters, which are text inside of a batch, and who calls; gives the `result`. A `RestError` that it
 * throws is the refusal of the portal.
 */
export type MethodStub = (params: Row, user: SimulatedUser) => unknown

/** How a method is answered. */
export interface StubOptions {
  /** 3: at `/rest/api/`, where errors have another form. @default 2 */
  version?: 2 | 3
}

/** How a list is shown. */
export interface ListOptions {
  /** Key of the rows in `result`, such as `items`; without one `result` is the rows. */
  key?: string
  /** `false`: all rows at once, as some methods do. @default true, 50 of them */
  paged?: boolean
}

/** Rows that a list method answers. */
export interface ListedRows extends ListOptions {
  rows: readonly Row[]
}

/** Methods of a portal that a test answers itself. */
export class MethodStubs<Answer> {
  readonly #answers = new Map<string, Answer>()

  /** @param method in small letters */
  get (method: string): Answer | undefined {
    return this.#answers.get(method)
  }

  /** @returns a function that puts back what was there */
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

/** One REST request to a portal: names of methods and parameters only, so it can be printed. */
export interface RestRecord {
  /** In small letters. */
  method: string
  /** Parameters of the body. */
  inBody: string[]
  /** Parameters of the query: a secret among them would stand in every log on the way. */
  inUrl: string[]
  /** Methods that a `batch` names. */
  commands?: string[]
  /** Of a call of REST 3. */
  version?: 3
  /** HTTP status of the answer; absent while there is none. */
  status?: number
}

export interface KeyedCall {
  clientId: string
  userId: number
  method: string
  /** The `Idempotency-Key`. */
  key: string
  /** Without the token. */
  params: unknown
}

interface StoredAnswer {
  digest: string
  at: number
  body: object
}

const STORED_MS = 24 * 3_600_000

/**
 * Answers that REST 3 gives again for the same `Idempotency-Key` of an app, a user and a method, for a day.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/rest-v3.md#idempotency
 */
export class IdempotentAnswers {
  readonly #now: () => number
  readonly #answers = new Map<string, StoredAnswer>()

  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  /** @returns the first answer; `'other'` when that call had other parameters; `undefined` for a new key */
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
