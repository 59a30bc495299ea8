/** Intensity of calls that one portal bears. */
export interface BucketOptions {
  /**
   * Calls that may come at once; Bitrix24 has 50.
   * @default Infinity, so that tests are quick
   */
  cap?: number
  /** Calls that flow out of the bucket in a second. @default 2 */
  drainPerSecond?: number
}

/** The leaky bucket behind `QUERY_LIMIT_EXCEEDED`. */
export class LeakyBucket {
  readonly #cap: number
  readonly #drainPerMs: number
  #level = 0
  #at = performance.now()

  constructor ({ cap = Infinity, drainPerSecond = 2 }: BucketOptions = {}) {
    this.#cap = cap
    this.#drainPerMs = drainPerSecond / 1000
  }

  /** @returns `false` when the bucket is full */
  take (): boolean {
    const now = performance.now()
    this.#level = Math.max(0, this.#level - (now - this.#at) * this.#drainPerMs)
    this.#at = now
    if (this.#level + 1 > this.#cap) return false
    this.#level++
    return true
  }
}
