/** Portals that have something waiting; they take turns. */
export class PortalRing {
  readonly #portals = new Set<string>()
  /** Goes on where it stopped: a new one would have to step over all that were taken since. All portals are before it. */
  readonly #turns = this.#portals.values()

  get isEmpty (): boolean {
    return this.#portals.size === 0
  }

  /** A portal that is in the ring already keeps its place. */
  add (portal: string): void {
    this.#portals.add(portal)
  }

  /** Takes the portal out whose turn it is; `add` puts it behind all others. */
  take (): string | undefined {
    // An iterator that has come to its end would stay there.
    if (this.isEmpty) return undefined
    const portal = this.#turns.next().value as string
    this.#portals.delete(portal)
    return portal
  }

  clear (): void {
    this.#portals.clear()
  }
}
