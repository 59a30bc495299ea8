import { randomInt } from 'node:crypto'
import type { Database } from 'lmdb'

/** When it was put there, µs since the epoch; who put it there. */
export type IntakeKey = [lane: number, at: number, writer: number]

const WRITERS = 2 ** 32

/**
 * Lines that go before all that is in the journal, until the worker puts them in line: lifecycle events, and what comes back. All of
 * it happens inside of a change. No key is ever written by two, be it two processes.
 */
export class EmbeddedIntake {
  readonly #db: Database<string, IntakeKey>
  readonly #writer = randomInt(WRITERS)
  #lastAt = 0

  constructor (db: Database<string, IntakeKey>) {
    this.#db = db
  }

  /** Puts a line behind all others of its lane. */
  put (lane: number, line: string): void {
    this.#lastAt = Math.max(this.#lastAt + 1, Date.now() * 1000)
    this.#db.put([lane, this.#lastAt, this.#writer], line)
  }

  /** Takes the first line out, those of lane 0 before others. */
  take (): string | undefined {
    const [entry] = this.#db.getRange({ limit: 1 })
    if (entry !== undefined) this.#db.remove(entry.key)
    return entry?.value
  }

  get isEmpty (): boolean {
    const [key] = this.#db.getKeys({ limit: 1 })
    return key === undefined
  }

  get size (): number {
    return this.#db.getKeysCount()
  }
}
