/** Portals that have something waiting; they take turns. */
export class PortalRing {
  readonly #portals = new Set<string>()
  /** Goes on where it stopped: a new one would have to step over all that were taken since. */
  #turns = this.#portals.values()

  get isEmpty (): boolean {
    return this.#portals.size === 0
  }

  /** A portal that is in the ring already keeps its place. */
  add (portal: string): void {
    this.#portals.add(portal)
  }

  /** Takes the portal out whose turn it is; `add` puts it behind all others. */
  take (): string | undefined {
    if (this.#portals.size === 0) return undefined
    const { value, done } = this.#turns.next()
    if (done === true) return this.#restart()
    this.#portals.delete(value)
    return value
  }

  clear (): void {
    this.#portals.clear()
  }

  /** What has come to its end does not go on, though something was added since. */
  #restart (): string | undefined {
    this.#turns = this.#portals.values()
    return this.take()
  }
}
