/** Source of an unverified event, for shared limits. */
export interface Source {
  /** Widest first, each contained in the previous one: the OAuth server, then the sender's networks; or the portal whose token the event has. */
  path: readonly string[]
  /** The event has the token of its portal. */
  isKnown: boolean
}

/** Slots for unverified events of each OAuth server. A server that does not respond does not use slots of others. */
export const UNVERIFIED_SLOTS = 192
/** Additional slots of each OAuth server for portals known by their token. */
export const KNOWN_SLOTS = 64
/** Fraction of slots for one of the widest networks, or one known portal, if no other uses any. */
export const NETWORK_SHARE = 1 / 2
/** Fraction of a network's slots for one of its subnetworks, if no other of them uses any. */
export const SUBNETWORK_SHARE = 3 / 4

/** Returns the number of slots shared by all sources with the same server. */
export function slotsOf ({ isKnown }: Source): number {
  return isKnown ? KNOWN_SLOTS : UNVERIFIED_SLOTS
}

/**
 * Returns how many of `slots` one source may use while others use `others`.
 *
 * Falls with the square of the free slots: of 192, a network may use 96 if others use none, 24 beside 96, 6 beside 142, and one as long as any is
 * free. A system that sends for many portals from one network is not limited unless there is a flood, and exhausting all slots takes 38 networks;
 * with half of the free slots each, nine would be enough.
 */
export function shareOf (slots: number, others: number, share: number): number {
  const free = slots - others
  return Math.min(free, Math.max(1, Math.floor(share * free * free / slots)))
}

/**
 * Returns whether a source may use another slot. The Redis script implements the same rule in Lua.
 *
 * @param taken used slots for each part of the path
 */
export function hasSlot (source: Source, taken: readonly number[]): boolean {
  let room = slotsOf(source)
  for (let level = 1; level < taken.length; level++) {
    const own = taken[level] as number
    room = shareOf(room, (taken[level - 1] as number) - own, level === 1 ? NETWORK_SHARE : SUBNETWORK_SHARE)
    if (own >= room) return false
  }
  return true
}
