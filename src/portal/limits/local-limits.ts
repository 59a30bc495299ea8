import { BUCKET_RATES, LONGEST_CLOSED_MS, type BucketRates, type PortalLimits, type Reservation } from './portal-limits.ts'

interface Bucket {
  level: number
  /** Time of that level, ms. */
  at: number
  /** Until when a method is closed, ms. */
  closed: Map<string, number>
}

/** Buckets that are looked at before the first sweep. */
const FEW = 1_000

/** Limits that one process keeps by itself. */
export class LocalLimits implements PortalLimits {
  readonly #burst: number
  readonly #drainPerMs: number
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()
  #sweepAt = FEW

  /** `now` is a clock that never goes back. */
  constructor ({ drainPerSecond, burst }: BucketRates = BUCKET_RATES, now = () => performance.now()) {
    this.#burst = burst
    this.#drainPerMs = drainPerSecond / 1000
    this.#now = now
  }

  async reserve (memberId: string, method: string, mostMs: number): Promise<Reservation> {
    const bucket = this.#bucketOf(memberId)
    const closedMs = (bucket.closed.get(method) ?? 0) - bucket.at
    const fullMs = (bucket.level + 1 - this.#burst) / this.#drainPerMs
    const waitMs = Math.ceil(Math.max(0, closedMs, fullMs))
    if (waitMs > mostMs) return { status: 'refused', retryAfterMs: waitMs, full: closedMs > fullMs ? 'method' : 'bucket' }
    bucket.level++
    return { status: 'reserved', waitMs }
  }

  async fill (memberId: string): Promise<void> {
    const bucket = this.#bucketOf(memberId)
    bucket.level = Math.max(bucket.level, this.#burst)
  }

  async close (memberId: string, method: string, forMs: number): Promise<void> {
    const bucket = this.#bucketOf(memberId)
    bucket.closed.set(method, bucket.at + Math.min(forMs, LONGEST_CLOSED_MS))
  }

  /** Portals that something is kept of. */
  get size (): number {
    return this.#buckets.size
  }

  /** The bucket as it is now. */
  #bucketOf (memberId: string): Bucket {
    const known = this.#buckets.get(memberId)
    if (known !== undefined) return this.#leak(known)
    if (this.#buckets.size >= this.#sweepAt) this.#sweep()
    const bucket = { level: 0, at: this.#now(), closed: new Map<string, number>() }
    this.#buckets.set(memberId, bucket)
    return bucket
  }

  #leak (bucket: Bucket): Bucket {
    const now = this.#now()
    bucket.level = Math.max(0, bucket.level - (now - bucket.at) * this.#drainPerMs)
    bucket.at = now
    for (const [method, until] of bucket.closed) if (until <= now) bucket.closed.delete(method)
    return bucket
  }

  #sweep (): void {
    for (const [memberId, bucket] of this.#buckets) {
      const { level, closed } = this.#leak(bucket)
      if (level === 0 && closed.size === 0) this.#buckets.delete(memberId)
    }
    this.#sweepAt = Math.max(FEW, 2 * this.#buckets.size)
  }
}
