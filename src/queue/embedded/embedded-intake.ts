import { randomInt } from 'node:crypto'
import type { Database } from 'lmdb'

/** When it was put there, µs since the epoch; who put it there; how many lines it has. */
export type IntakeKey = [lane: number, at: number, writer: number, count: number]

/** Lines of one entry: the worker puts all of them in line at once. */
const MOST_LINES = 100
const WRITERS = 2 ** 32

/**
 * What was taken in, until the worker puts it in line: events that came at once are one entry, a line each. No key is ever written by
 * two, be it two processes, so that an entry can be put without a look at what is there, which would cost as much as the write.
 */
export class EmbeddedIntake {
  readonly #db: Database<string, IntakeKey>
  readonly #writer = randomInt(WRITERS)
  #lastAt = 0

  constructor (db: Database<string, IntakeKey>) {
    this.#db = db
  }

  /** Puts lines behind all others of their lane; resolves when they are on disk. Inside of a change, they get there with it. */
  put (lane: number, lines: readonly string[]): Promise<unknown> {
    const puts: Array<Promise<boolean>> = []
    for (let from = 0; from < lines.length; from += MOST_LINES) {
      const some = lines.slice(from, from + MOST_LINES)
      puts.push(this.#db.put([lane, this.#nextAt(), this.#writer, some.length], some.join('\n')))
    }
    return Promise.all(puts)
  }

  /** Takes the first lines out, those of lane 0 before others; inside of a change. */
  take (): string[] {
    const [entry] = this.#db.getRange({ limit: 1 })
    if (entry === undefined) return []
    this.#db.remove(entry.key)
    return entry.value.split('\n')
  }

  get isEmpty (): boolean {
    const [key] = this.#db.getKeys({ limit: 1 })
    return key === undefined
  }

  countLines (): number {
    let lines = 0
    for (const [, , , count] of this.#db.getKeys()) lines += count
    return lines
  }

  #nextAt (): number {
    this.#lastAt = Math.max(this.#lastAt + 1, Date.now() * 1000)
    return this.#lastAt
  }
}
