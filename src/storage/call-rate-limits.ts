/** Rate limit of a portal: a leaky bucket that every call fills by one. */
export interface BucketRates {
  /** Calls that leak per second. @default 2 */
  drainPerSecond: number
  /** Capacity in calls. @default 50 */
  burst: number
}

/** Limits of all plans except Enterprise. */
export const BUCKET_RATES: BucketRates = { drainPerSecond: 2, burst: 50 }

export const ENTERPRISE_RATES: BucketRates = { drainPerSecond: 5, burst: 250 }

/** Maximum time a method stays blocked, ms: Bitrix24 sums its operating time over ten minutes. */
export const MAX_CLOSED_MS = 600_000

export type Reservation =
  | { status: 'reserved', /** Delay before the call, ms. */ waitMs: number }
  | {
    /** Nothing is reserved. */
    status: 'refused'
    /** When a retry may succeed, ms from now. */
    retryAfterMs: number
    /** The limit that is exhausted: the portal's, or the method's. */
    full: 'bucket' | 'method'
  }

/**
 * Keeps the calls of an app within the limits of each portal. Each call is reserved in advance, and limits reported by the portal are recorded.
 */
export interface PortalLimits {
  /**
   * Reserves one call, at most `mostMs` in the future.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  reserve (memberId: string, method: string, mostMs: number): Promise<Reservation>
  /** Records that the portal reported its limit as exhausted. @throws FST_B24_STORE_UNAVAILABLE */
  fill (memberId: string): Promise<void>
  /** Records that the portal rejects calls of the method for `forMs`. @throws FST_B24_STORE_UNAVAILABLE */
  close (memberId: string, method: string, forMs: number): Promise<void>
}

/** `PortalLimits` with explicit bucket names and rates; method names include the app. @default rates `BUCKET_RATES` */
export interface PortalBuckets {
  reserve (bucket: string, method: string, mostMs: number, rates?: BucketRates): Promise<Reservation>
  fill (bucket: string, rates?: BucketRates): Promise<void>
  close (bucket: string, method: string, forMs: number, rates?: BucketRates): Promise<void>
}
