/** Portals that have something waiting; they take turns. */
export class PortalRing {
  readonly #portals = new Set<string>()

  get isEmpty (): boolean {
    return this.#portals.size === 0
  }

  /** A portal that is in the ring already keeps its place. */
  add (portal: string): void {
    this.#portals.add(portal)
  }

  /** Takes the portal out whose turn it is; `add` puts it behind all others. */
  take (): string | undefined {
    const [portal] = this.#portals
    if (portal !== undefined) this.#portals.delete(portal)
    return portal
  }

  clear (): void {
    this.#portals.clear()
  }
}
