/** Time after which a source that did not ask again has nothing left that waits, ms. */
const LAPSE_MS = 3_000

/**
 * Shares the places for checks of strangers between the sources that they come from: what finds none asks again after a
 * while, so who comes first is not who waits for the longest, but who sends the most.
 *
 * - The source with the fewest places goes first; of equals, the one that has waited for the longest.
 * - One source leaves a place free for the next, where there is more than one.
 */
export class StrangerTurns {
  readonly #most: number
  readonly #now: () => number
  /** Places taken, of each source that has any. */
  readonly #running = new Map<string, number>()
  /** When each source that waits asked last, the one first whose turn is next. */
  readonly #waiting = new Map<string, number>()

  constructor (most: number, now: () => number = () => performance.now()) {
    this.#most = most
    this.#now = now
  }

  /** Tells whether it may begin now; if so, call `leave` at its end. */
  enter (source: string): boolean {
    const now = this.#now()
    for (const [other, askedAt] of this.#waiting) if (now - askedAt > LAPSE_MS) this.#waiting.delete(other)
    this.#waiting.set(source, now)
    const own = this.#runningOf(source)
    const taken = [...this.#running.values()].reduce((sum, count) => sum + count, 0)
    if (own > 0 && own >= this.#most - 1) return false
    if (this.#before(source, own) >= this.#most - taken) return false
    this.#waiting.delete(source)
    this.#running.set(source, own + 1)
    return true
  }

  leave (source: string): void {
    const left = this.#runningOf(source) - 1
    if (left > 0) this.#running.set(source, left)
    else this.#running.delete(source)
  }

  #runningOf (source: string): number {
    return this.#running.get(source) ?? 0
  }

  /** How many sources have their turn before this one. */
  #before (source: string, own: number): number {
    let count = 0
    let isEarlier = true
    for (const other of this.#waiting.keys()) {
      if (other === source) isEarlier = false
      else if (this.#runningOf(other) < own || (isEarlier && this.#runningOf(other) === own)) count++
    }
    return count
  }
}
