/** BullMQ takes lower numbers first. Its scores, doubles of 2³² times this, tell turns apart that far and farther. */
export const LAST_TURN = 2 ** 40 - 1

/**
 * Gives each event its place among those of all portals, as start-time fair queueing does: the n-th waiting event of a portal
 * comes n places after what is being handled now, however many others wait. So each portal has one event in each round.
 */
export class FairTurns {
  readonly #last = new Map<string, number>()
  #epoch = '0'
  #now = 0

  /** Takes the next turn of a portal. */
  take (memberId: string): number {
    const turn = Math.max(this.#now, this.#last.get(memberId) ?? 0) + 1
    this.#last.set(memberId, turn)
    return Math.min(turn, LAST_TURN)
  }

  /** Takes back the turn of an event that became one with another, if the portal has got none since. */
  giveBack (memberId: string, turn: number): void {
    if (this.#last.get(memberId) === turn) this.#last.set(memberId, turn - 1)
  }

  /** Takes `<epoch>.<turn>` over from who handles events. A new epoch began with an empty queue: nobody owes a turn. */
  learn (mark: string): void {
    const [epoch, now] = mark.split('.') as [string, string]
    this.#now = Number(now)
    if (epoch !== this.#epoch) this.#last.clear()
    this.#epoch = epoch
    for (const [memberId, turn] of this.#last) {
      if (turn <= this.#now) this.#last.delete(memberId)
    }
  }

  /** Portals that have had more turns than are being handled. */
  get size (): number {
    return this.#last.size
  }
}
