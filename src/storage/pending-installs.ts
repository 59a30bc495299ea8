import type { TokenDigest } from '../installs/install.ts'

/** What a posted install says before anybody has confirmed it: this portal has this token. */
export interface PendingInstall {
  memberId: string
  /** Digest of the `application_token` that came with it. */
  token: TokenDigest
}

/**
 * `open`: an event that makes it is still to be judged. `lost`: the last of them was given up, and nobody knows whether it was
 * genuine. `closed`: they were judged, or there never were any.
 */
export type PendingState = 'open' | 'lost' | 'closed'

/**
 * The installs that are being verified, as all processes of the app see them, so that events which follow at once are kept
 * and not refused. Bounded, so that forged ones can neither fill the store nor push out genuine ones.
 *
 * Every verb rejects with `FST_B24_STORE_UNAVAILABLE` when the store cannot answer within a second.
 */
export interface PendingInstalls {
  /**
   * Opens a claim, durably, for an event that makes it, until that is settled by `close` or `lose`, or for two days. One that
   * is open counts the event beside those it has.
   * @param source who posted it: an address, or the portal itself when its token proved it
   * @returns `false` when no place is left for it (see `mostOfSource`), or as many events as may be wait already that make this
   *   claim (8), or the claims of its source (64)
   */
  open (claim: PendingInstall, source: string, eventId: string): Promise<boolean>
  stateOf (claim: PendingInstall): Promise<PendingState>
  /**
   * Counts one event to be kept for an open claim.
   * @returns `false` when the claim is not open, or as many as may be (500) were counted for it already
   */
  hold (claim: PendingInstall): Promise<boolean>
  /** An event that made the claim was judged. With the last of them the claim ends, and what was counted for it. */
  close (claim: PendingInstall, eventId: string): Promise<void>
  /** Such an event was given up. The claim ends as `lost`, and for two days whoever was kept for it can learn that. */
  lose (claim: PendingInstall, eventId: string): Promise<void>
}

/**
 * Time after which a claim that nobody ended is forgotten, ms. Twice that of `INSTALL_PATIENCE_MS`: what was kept for it must
 * learn what became of it.
 */
export const CLAIM_LIFE_MS = 2 * 24 * 60 * 60 * 1000
/** Time for which an install that cannot be checked is tried again, ms. */
export const INSTALL_PATIENCE_MS = 24 * 60 * 60 * 1000
/** Places for claims, of all sources together. */
export const MOST_CLAIMS = 256
/** Part of all places that one source may have while nobody else has any. */
export const SOURCE_SHARE = 0.25
/** Events that make one claim, and are not settled: a genuine install comes once, with an update or a system user beside it. */
export const MOST_OF_CLAIM = 8
/** The same of all claims of one source: each costs a question to the OAuth server. */
export const MOST_OF_SOURCE = 64
/** Events that are kept for one claim. With those of 16 KB at most that nothing proves, this bounds what forged installs can fill. */
export const MOST_HELD = 500

/**
 * Says how many claims one source may have beside those of the others: 64 while these have none, and the fewer the fuller it
 * is (31 beside 75 of others, 16 beside 128, 4 beside 192), but one as long as any place is free.
 *
 * The share falls with the square of what is free. So a system that posts for many portals from one address gets all of them
 * through when nobody floods, one address alone cannot keep more than a quarter from the others, and a place is left until
 * some sixty addresses have taken what they may; with a plain quarter of what is free it would be eighteen. No claim is ever
 * ended for another: events that were kept for it would be lost.
 */
export function mostOfSource (others: number): number {
  const free = MOST_CLAIMS - others
  return Math.min(free, Math.max(1, Math.floor(SOURCE_SHARE * free * free / MOST_CLAIMS)))
}
