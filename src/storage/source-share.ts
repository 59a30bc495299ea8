/** Where something comes from that is to be verified, and what all that comes from there share. */
export interface Source {
  /** The widest first, each within the one before: an OAuth server that is to answer, the sender's networks; or a portal that its token proved. */
  path: readonly string[]
  /** The token of the portal proved where it comes from. */
  isKnown: boolean
}

/** Places for what nothing verifies, of each OAuth server: what waits for one that does not answer takes none from the others. */
export const UNVERIFIED_PLACES = 192
/** Places beside them for portals that are known by their token, of each OAuth server. */
export const KNOWN_PLACES = 64
/** Part of the places that one network of the widest kind, or one known portal, may have while nobody else has any. */
export const NETWORK_SHARE = 1 / 2
/** Part of the places of a network that one network within it may have while the others of it have none. */
export const SUBNETWORK_SHARE = 3 / 4

/** Places of all that have the same server. */
export function placesOf ({ isKnown }: Source): number {
  return isKnown ? KNOWN_PLACES : UNVERIFIED_PLACES
}

/**
 * Returns how many of `places` one may have beside those that others have.
 *
 * It falls with the square of what is free: of 192 places a network gets 96 while others have none, 24 beside 96, 6 beside 142, and one as long as any
 * is free. So a system that posts for many portals from one network gets all of them through when nobody floods, and 38 networks have to
 * take what they may before no place is left; with a plain half of what is free it would be nine.
 */
export function shareOf (places: number, others: number, share: number): number {
  const free = places - others
  return Math.min(free, Math.max(1, Math.floor(share * free * free / places)))
}

/**
 * Returns whether a source may have one more place. The script of Redis has the same rule in Lua.
 *
 * @param taken places that are taken of each part of its path
 */
export function hasPlace (source: Source, taken: readonly number[]): boolean {
  let room = placesOf(source)
  for (let level = 1; level < taken.length; level++) {
    const own = taken[level] as number
    room = shareOf(room, (taken[level - 1] as number) - own, level === 1 ? NETWORK_SHARE : SUBNETWORK_SHARE)
    if (own >= room) return false
  }
  return true
}
