import { sourceOf } from '../delivery/lifecycle/source-of.ts'

export interface BudgetOptions {
  /** Bytes of large bodies that are read at once, in all. */
  most?: number
  /** Bodies up to this size, in bytes, are not counted: an event has one or two kilobytes. */
  free?: number
}

/** What one sender may have of the budget, and what is left for those that have nothing yet: a few senders must not take it all. */
const SHARE = 1 / 4

/**
 * Bounds the memory of bodies that are read at once. Who sends one is not known before it is read, so large bodies of strangers
 * must not fill the memory; small ones are always taken.
 */
export class BodyBudget {
  readonly #most: number
  readonly #free: number
  readonly #bySource = new Map<string, number>()
  #taken = 0

  constructor ({ most = 32 * 1024 * 1024, free = 64 * 1024 }: BudgetOptions = {}) {
    this.#most = most
    this.#free = free
  }

  /** Reserves the bytes of a body. Returns what releases them, or `undefined` where there is no room. */
  take (bytes: number, ip: string): (() => void) | undefined {
    if (bytes <= this.#free) return () => {}
    const source = sourceOf(ip)
    const own = (this.#bySource.get(source) ?? 0) + bytes
    const room = this.#most * (this.#bySource.has(source) ? 1 - SHARE : 1)
    if (this.#taken + bytes > room || own > this.#most * SHARE) return undefined
    this.#taken += bytes
    this.#bySource.set(source, own)
    return () => this.#release(bytes, source)
  }

  #release (bytes: number, source: string): void {
    this.#taken -= bytes
    const rest = (this.#bySource.get(source) ?? 0) - bytes
    if (rest > 0) this.#bySource.set(source, rest)
    else this.#bySource.delete(source)
  }
}
