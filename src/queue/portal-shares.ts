/** For so long a portal that had an event counts as one that may soon have another, ms. */
const LATELY_MS = 10 * 60_000
/** A portal may take that many times the places that it leaves free. */
const SHARE = 3

interface Sight {
  portal: string
  at: number
}

/**
 * Counts the places of a worker that each portal takes, and says whether it may take another. A portal whose handlers hang leaves some
 * to the others: of 16 places it takes 12, the next one 3, one more the last. Where no other had an event lately, it takes all.
 */
export class PortalShares {
  readonly #places: number
  readonly #now: () => number
  readonly #taken = new Map<string, number>()
  #all = 0
  #newest: Sight | undefined
  /** The newest of another portal than that. */
  #other: Sight | undefined

  constructor (places: number, now = () => performance.now()) {
    this.#places = places
    this.#now = now
  }

  /** The portal has an event. */
  see (portal: string): void {
    if (this.#newest?.portal !== portal) this.#other = this.#newest
    this.#newest = { portal, at: this.#now() }
  }

  hasRoom (portal: string): boolean {
    const taken = this.#taken.get(portal) ?? 0
    const leaves = this.#places - this.#all - 1
    return taken === 0 || taken + 1 <= SHARE * leaves || this.#isAlone(portal)
  }

  take (portal: string): void {
    this.#all++
    this.#taken.set(portal, (this.#taken.get(portal) ?? 0) + 1)
  }

  leave (portal: string): void {
    const taken = this.#taken.get(portal) ?? 0
    if (taken === 0) return
    this.#all--
    if (taken === 1) this.#taken.delete(portal)
    else this.#taken.set(portal, taken - 1)
  }

  clear (): void {
    this.#all = 0
    this.#taken.clear()
  }

  #isAlone (portal: string): boolean {
    if (this.#taken.size > 1) return false
    const other = this.#newest?.portal === portal ? this.#other : this.#newest
    return other === undefined || this.#now() - other.at > LATELY_MS
  }
}
