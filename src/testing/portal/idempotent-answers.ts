import { hash } from 'node:crypto'

export interface KeyedCall {
  clientId: string
  userId: number
  method: string
  /** The `Idempotency-Key`. */
  key: string
  /** Without the token. */
  params: unknown
}

interface KeptAnswer {
  digest: string
  at: number
  body: object
}

const KEPT_MS = 24 * 3_600_000

/**
 * Answers that REST 3 gives again for the same `Idempotency-Key` of an app, a user and a method, for a day.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/rest-v3.md#idempotency
 */
export class IdempotentAnswers {
  readonly #now: () => number
  readonly #answers = new Map<string, KeptAnswer>()

  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  /** @returns the first answer; `'other'` when that call had other parameters; `undefined` for a new key */
  find (call: KeyedCall): object | 'other' | undefined {
    const known = this.#answers.get(nameOf(call))
    if (known === undefined || this.#now() - known.at >= KEPT_MS) return undefined
    return known.digest === digestOf(call) ? known.body : 'other'
  }

  keep (call: KeyedCall, body: object): void {
    this.#answers.set(nameOf(call), { digest: digestOf(call), at: this.#now(), body })
  }
}

function nameOf ({ clientId, userId, method, key }: KeyedCall): string {
  return JSON.stringify([clientId, userId, method, key])
}

function digestOf ({ params }: KeyedCall): string {
  return hash('sha256', JSON.stringify(params))
}
