/** How many calls a portal takes: a bucket that every call fills by one, and that leaks. */
export interface BucketRates {
  /** Calls that leak in a second. @default 2 */
  drainPerSecond: number
  /** Calls that fit. @default 50 */
  burst: number
}

/** What a portal of the usual plans takes; Enterprise has 5 and 250. */
export const BUCKET_RATES: BucketRates = { drainPerSecond: 2, burst: 50 }

export const ENTERPRISE_RATES: BucketRates = { drainPerSecond: 5, burst: 250 }

/** Longest that a method is closed, ms: Bitrix24 adds up the time of ten minutes. */
export const LONGEST_CLOSED_MS = 600_000

export type Reservation =
  | { status: 'reserved', /** Time to wait before the call, ms. */ waitMs: number }
  | {
    /** Nothing is reserved. */
    status: 'refused'
    /** Time after which there may be a place, ms. */
    retryAfterMs: number
    /** What has no place: the portal, or one method of it. */
    full: 'bucket' | 'method'
  }

/**
 * Keeps the calls of an app within what each portal takes. A place is reserved before a call, and what a portal says about its
 * limits is told.
 */
export interface PortalLimits {
  /**
   * Reserves a place for one call, which may be in the future, but not by more than `mostMs`.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  reserve (memberId: string, method: string, mostMs: number): Promise<Reservation>
  /** The portal said that its bucket is full, whoever filled it. @throws FST_B24_STORE_UNAVAILABLE */
  fill (memberId: string): Promise<void>
  /** The portal takes no calls of the method for that long. @throws FST_B24_STORE_UNAVAILABLE */
  close (memberId: string, method: string, forMs: number): Promise<void>
}

/** The same of buckets that are named by whoever shares them; a method is named with its app. `rates`: those of the usual plans unless told. */
export interface PortalBuckets {
  reserve (bucket: string, method: string, mostMs: number, rates?: BucketRates): Promise<Reservation>
  fill (bucket: string, rates?: BucketRates): Promise<void>
  close (bucket: string, method: string, forMs: number, rates?: BucketRates): Promise<void>
}
