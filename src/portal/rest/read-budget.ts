/** Limits for large responses read concurrently, in bytes. */
export interface BudgetLimits {
  /** In total. @default 33554432 */
  total?: number
  /** Per portal. @default 8388608 */
  perPortal?: number
}

/** Releases the acquired bytes. */
export type Release = () => void

interface Waiter {
  memberId: string
  bytes: number
  admit: () => void
}

const TOTAL = 32 * 1024 * 1024
const PER_PORTAL = 8 * 1024 * 1024
/** Fraction of the total reserved for portals that hold nothing yet: a few slow senders must not take it all. */
const RESERVED_FRACTION = 1 / 4

/** Limits the memory of responses being read, in total and per portal; readers beyond the limit wait. */
export class ReadBudget {
  readonly #total: number
  readonly #perPortal: number
  #used = 0
  readonly #usedBy = new Map<string, number>()
  readonly #waiting = new Set<Waiter>()

  constructor ({ total = TOTAL, perPortal = PER_PORTAL }: BudgetLimits = {}) {
    this.#total = total
    this.#perPortal = Math.min(perPortal, total)
  }

  /** Waits for `bytes`, capped at the limit per portal. Rejects with the signal's reason when it aborts. */
  async acquire (memberId: string, bytes: number, signal: AbortSignal): Promise<Release> {
    const wanted = Math.min(bytes, this.#perPortal)
    signal.throwIfAborted()
    // First come, first served, separately among portals that hold memory and those that hold none.
    if (this.#waiting.size > 0 || !this.#fits(memberId, wanted)) await this.#wait(memberId, wanted, signal)
    else this.#acquire(memberId, wanted)
    let isAcquired = true
    return () => {
      if (!isAcquired) return
      isAcquired = false
      this.#release(memberId, wanted)
    }
  }

  /** Bytes currently acquired. */
  get used (): number {
    return this.#used
  }

  async #wait (memberId: string, bytes: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        this.#waiting.delete(waiter)
        reject(signal.reason)
        this.#admit()
      }
      const waiter: Waiter = {
        memberId,
        bytes,
        admit: () => {
          signal.removeEventListener('abort', abort)
          resolve()
        }
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#waiting.add(waiter)
      this.#admit()
    })
  }

  /** A portal at its own limit does not block others, nor does one that holds memory block one that holds none. */
  #admit (): void {
    let isShareFull = false
    for (const waiter of this.#waiting) {
      const { memberId, bytes } = waiter
      const isFirst = !this.#usedBy.has(memberId)
      if (!isFirst && isShareFull) continue
      if (this.#fits(memberId, bytes)) {
        this.#waiting.delete(waiter)
        this.#acquire(memberId, bytes)
        waiter.admit()
      } else if (this.#fitsPortal(memberId, bytes)) {
        if (isFirst) return
        isShareFull = true
      }
    }
  }

  #fits (memberId: string, bytes: number): boolean {
    const room = this.#usedBy.has(memberId) ? this.#total * (1 - RESERVED_FRACTION) : this.#total
    return this.#used + bytes <= room && this.#fitsPortal(memberId, bytes)
  }

  #fitsPortal (memberId: string, bytes: number): boolean {
    return (this.#usedBy.get(memberId) ?? 0) + bytes <= this.#perPortal
  }

  #acquire (memberId: string, bytes: number): void {
    this.#used += bytes
    this.#usedBy.set(memberId, (this.#usedBy.get(memberId) ?? 0) + bytes)
  }

  #release (memberId: string, bytes: number): void {
    this.#used -= bytes
    const left = (this.#usedBy.get(memberId) ?? 0) - bytes
    if (left > 0) this.#usedBy.set(memberId, left)
    else this.#usedBy.delete(memberId)
    this.#admit()
  }
}
