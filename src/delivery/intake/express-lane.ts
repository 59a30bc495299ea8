/** Lifecycle events of one portal, or of one stranger, that go before all others, in one minute; the rest wait for their turn. */
const MOST = 5
const WINDOW_MS = 60_000

/**
 * Lets lifecycle events go first, but few of each portal: they are rare, and a portal that posts thousands of them must not
 * keep all others waiting. Counts in this process alone.
 */
export class ExpressLane {
  readonly #counts = new Map<string, number>()
  readonly #now: () => number
  #windowEnd = 0

  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  admits (sender: string): boolean {
    const now = this.#now()
    // A clock that was set back must not keep a window open for long.
    if (now >= this.#windowEnd || now < this.#windowEnd - WINDOW_MS) {
      this.#windowEnd = now + WINDOW_MS
      this.#counts.clear()
    }
    const count = (this.#counts.get(sender) ?? 0) + 1
    this.#counts.set(sender, count)
    return count <= MOST
  }
}
