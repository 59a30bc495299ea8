import { BUCKET_RATES, MAX_CLOSED_MS, type BucketRates, type PortalBuckets, type Reservation } from '../call-rate-limits.ts'

interface Bucket {
  level: number
  /** Time of that level, ms. */
  at: number
  /** Until when a method is closed, ms. */
  closed: Map<string, number>
}

/** Buckets that are looked at before the first sweep. */
const FEW = 1_000

/** Of each storage that apps of this process share: they have one source address. */
const shared = new Map<string, WeakRef<LocalLimits>>()

/** Limits that one process keeps by itself. */
export class LocalLimits implements PortalBuckets {
  readonly #rates: BucketRates
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()
  #sweepAt = FEW

  /** `now` is a clock that never goes back. */
  constructor (rates: BucketRates = BUCKET_RATES, now = () => performance.now()) {
    this.#rates = rates
    this.#now = now
  }

  /** Those of all apps of this process on one storage. */
  static of (storage: string): LocalLimits {
    const limits = shared.get(storage)?.deref() ?? new LocalLimits()
    shared.set(storage, new WeakRef(limits))
    return limits
  }

  async reserve (name: string, method: string, mostMs: number, rates = this.#rates): Promise<Reservation> {
    const bucket = this.#bucketOf(name, rates)
    const closedMs = (bucket.closed.get(method) ?? 0) - bucket.at
    const fullMs = (bucket.level + 1 - rates.burst) / rates.drainPerSecond * 1000
    const waitMs = Math.ceil(Math.max(0, closedMs, fullMs))
    if (waitMs > mostMs) return { status: 'refused', retryAfterMs: waitMs, full: closedMs > fullMs ? 'method' : 'bucket' }
    bucket.level++
    return { status: 'reserved', waitMs }
  }

  async fill (name: string, rates = this.#rates): Promise<void> {
    const bucket = this.#bucketOf(name, rates)
    bucket.level = Math.max(bucket.level, rates.burst)
  }

  async close (name: string, method: string, forMs: number, rates = this.#rates): Promise<void> {
    const bucket = this.#bucketOf(name, rates)
    bucket.closed.set(method, bucket.at + Math.min(forMs, MAX_CLOSED_MS))
  }

  /** Portals that something is kept of. */
  get size (): number {
    return this.#buckets.size
  }

  /** The bucket as it is now. */
  #bucketOf (name: string, rates: BucketRates): Bucket {
    const known = this.#buckets.get(name)
    if (known !== undefined) return this.#leak(known, rates)
    if (this.#buckets.size >= this.#sweepAt) this.#sweep()
    const bucket = { level: 0, at: this.#now(), closed: new Map<string, number>() }
    this.#buckets.set(name, bucket)
    return bucket
  }

  #leak (bucket: Bucket, { drainPerSecond }: BucketRates): Bucket {
    const now = this.#now()
    bucket.level = Math.max(0, bucket.level - (now - bucket.at) / 1000 * drainPerSecond)
    bucket.at = now
    for (const [method, until] of bucket.closed) if (until <= now) bucket.closed.delete(method)
    return bucket
  }

  #sweep (): void {
    for (const [name, bucket] of this.#buckets) {
      const { level, closed } = this.#leak(bucket, this.#rates)
      if (level === 0 && closed.size === 0) this.#buckets.delete(name)
    }
    this.#sweepAt = Math.max(FEW, 2 * this.#buckets.size)
  }
}
