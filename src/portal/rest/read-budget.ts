/** Bytes of large answers that are being read at once. */
export interface BudgetLimits {
  /** For all portals. @default 33554432 */
  total?: number
  /** For each portal. @default 8388608 */
  perPortal?: number
}

/** Gives back what was acquired. */
export type Release = () => void

interface Waiter {
  memberId: string
  bytes: number
  admit: () => void
}

const TOTAL = 32 * 1024 * 1024
const PER_PORTAL = 8 * 1024 * 1024
/** Part of the total that only portals take which have nothing yet: a few that send slowly must not take it all. */
const FOR_FIRSTS = 1 / 4

/** Bounds the memory that answers take while they are read, in all and for each portal: what is beyond it waits. */
export class ReadBudget {
  readonly #most: number
  readonly #mostPerPortal: number
  #used = 0
  readonly #usedBy = new Map<string, number>()
  readonly #waiting = new Set<Waiter>()

  constructor ({ total = TOTAL, perPortal = PER_PORTAL }: BudgetLimits = {}) {
    this.#most = total
    this.#mostPerPortal = Math.min(perPortal, total)
  }

  /** Waits for the bytes, of which no more are taken than a portal may ever have. Rejects with the reason of `signal` when that aborts. */
  async acquire (memberId: string, bytes: number, signal: AbortSignal): Promise<Release> {
    const wanted = Math.min(bytes, this.#mostPerPortal)
    signal.throwIfAborted()
    // Who came first for the memory of all is served first, among those that have some and among those that have none.
    if (this.#waiting.size > 0 || !this.#fits(memberId, wanted)) await this.#wait(memberId, wanted, signal)
    else this.#take(memberId, wanted)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#give(memberId, wanted)
    }
  }

  /** Bytes that are taken now. */
  get used (): number {
    return this.#used
  }

  async #wait (memberId: string, bytes: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiter)
        reject(signal.reason)
        this.#admit()
      }
      const waiter: Waiter = {
        memberId,
        bytes,
        admit: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        }
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(waiter)
      this.#admit()
    })
  }

  /** A portal that has all it may have does not keep the next one waiting, nor one that has some another that has none. */
  #admit (): void {
    let isShareFull = false
    for (const waiter of this.#waiting) {
      const { memberId, bytes } = waiter
      const isFirst = !this.#usedBy.has(memberId)
      if (!isFirst && isShareFull) continue
      if (this.#fits(memberId, bytes)) {
        this.#waiting.delete(waiter)
        this.#take(memberId, bytes)
        waiter.admit()
      } else if (this.#fitsPortal(memberId, bytes)) {
        if (isFirst) return
        isShareFull = true
      }
    }
  }

  #fits (memberId: string, bytes: number): boolean {
    const room = this.#usedBy.has(memberId) ? this.#most * (1 - FOR_FIRSTS) : this.#most
    return this.#used + bytes <= room && this.#fitsPortal(memberId, bytes)
  }

  #fitsPortal (memberId: string, bytes: number): boolean {
    return (this.#usedBy.get(memberId) ?? 0) + bytes <= this.#mostPerPortal
  }

  #take (memberId: string, bytes: number): void {
    this.#used += bytes
    this.#usedBy.set(memberId, (this.#usedBy.get(memberId) ?? 0) + bytes)
  }

  #give (memberId: string, bytes: number): void {
    this.#used -= bytes
    const left = (this.#usedBy.get(memberId) ?? 0) - bytes
    if (left > 0) this.#usedBy.set(memberId, left)
    else this.#usedBy.delete(memberId)
    this.#admit()
  }
}
