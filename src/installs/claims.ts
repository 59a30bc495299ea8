import type { TokenDigest } from './install.ts'

/** What a posted install says before anybody has confirmed it: this portal has this token. */
export interface Claim {
  memberId: string
  /** Digest of the `application_token` that came with it. */
  token: TokenDigest
}

/**
 * The installs that are being verified, as all processes of the app see them, so that events which follow at once are kept
 * and not refused. Bounded, so that forged ones can neither fill the store nor push out genuine ones.
 *
 * Every verb rejects with `FST_B24_STORE_UNAVAILABLE` when the store cannot answer within a second.
 */
export interface Claims {
  /**
   * Opens a claim, durably, until `close` or for a day; one that is open stays as it is.
   * @param source who posted it: an address, or the portal itself when its token proved it
   * @returns `false` when no place is left: 256 in all, a quarter of those that are free for any one source
   */
  open (claim: Claim, source: string): Promise<boolean>
  isOpen (claim: Claim): Promise<boolean>
  /**
   * Counts one event to be kept for an open claim.
   * @returns `false` when the claim is not open, or as many as may be (1,000) were counted for it already
   */
  hold (claim: Claim): Promise<boolean>
  /** Ends a claim, and what was counted for it. */
  close (claim: Claim): Promise<void>
}

/** Time after which a claim that nobody closed is forgotten, ms. */
export const CLAIM_LIFE_MS = 24 * 60 * 60 * 1000
export const MOST_CLAIMS = 256
/** A source may have as many claims as a quarter of the places that are free without its own, and one at least while any is free. */
export const SOURCE_SHARE = 0.25
export const MOST_HELD = 1000
