import type { TokenDigest } from '../installs/install.ts'
import { hasSlot, type Source } from './network-share.ts'

/** An unverified install: this portal is said to have this token. */
export interface PendingInstall {
  memberId: string
  /** Digest of its `application_token`. */
  token: TokenDigest
}

/**
 * `open`: at least one of its events has yet to be verified. `abandoned`: verification of the last one was given up, so it may have been genuine.
 * `closed`: all were verified or rejected, or there were none.
 */
export type PendingState = 'open' | 'abandoned' | 'closed'

/**
 * Installs that are being verified, shared by all processes of the app. Events that follow an install at once are quarantined instead of
 * rejected. Bounded, so that forged installs can neither fill the storage nor evict genuine ones.
 *
 * Each event of a pending install uses a slot of its OAuth server and of its sender's networks. Installs of a server that does not respond
 * therefore use no slot of other servers, and none is evicted: an install answered with 200 stays until its server responds, or becomes a dead
 * letter after `INSTALL_RETRY_MS`.
 *
 * Every method rejects with `FST_B24_STORE_UNAVAILABLE` if the storage does not answer within a second.
 */
export interface PendingInstalls {
  /**
   * Adds an event to a pending install, durably, and opens it if necessary. The event stays until `close` or `abandon`, or for two days.
   * @returns `false` if its source has no free slot (see `hasSlot`), or the install already has the maximum of 8 events
   */
  open (pending: PendingInstall, source: Source, eventId: string): Promise<boolean>
  stateOf (pending: PendingInstall): Promise<PendingState>
  /**
   * Counts one event to be quarantined until an open install is verified.
   * @returns `false` if the install is not open, or has the maximum of 500 such events
   */
  admitEvent (pending: PendingInstall): Promise<boolean>
  /** Removes an event that was verified or rejected. The last one closes the install. */
  close (pending: PendingInstall, eventId: string): Promise<void>
  /** Removes an event whose verification was given up. If events are quarantined, the install is `abandoned` for two days, so that they become dead letters. */
  abandon (pending: PendingInstall, eventId: string): Promise<void>
}

/**
 * How long a pending install is stored, ms. Longer than `INSTALL_RETRY_MS`, because quarantined events must see its final state.
 */
export const PENDING_INSTALL_TTL_MS = 2 * 24 * 60 * 60 * 1000
/** How long verification of an install is retried, ms. */
export const INSTALL_RETRY_MS = 24 * 60 * 60 * 1000
/** Maximum unverified events of one pending install. A genuine install is sent once, with an update or a system user. */
export const MAX_EVENTS_PER_PENDING_INSTALL = 8
/** Maximum quarantined events of one pending install. */
export const MAX_ADMITTED_EVENTS = 500

/** A pending install as stored by a driver. */
export interface PendingRecord {
  /** ms since the epoch. */
  endsAt: number
  admitted: number
  isAbandoned: boolean
  /** Source path of each unverified event, by event id. */
  events: Record<string, readonly string[]>
}

export function isOpen (record: PendingRecord | undefined): record is PendingRecord {
  return record !== undefined && Object.keys(record.events).length > 0
}

/**
 * Returns a record with another event; `undefined` if there is no free slot.
 * @param all all records that have not expired
 */
export function withEvent (record: PendingRecord | undefined, all: readonly PendingRecord[], source: Source, eventId: string, endsAt: number): PendingRecord | undefined {
  const open = isOpen(record) ? record : { endsAt, admitted: 0, isAbandoned: false, events: {} }
  if (Object.hasOwn(open.events, eventId)) return open
  if (Object.keys(open.events).length >= MAX_EVENTS_PER_PENDING_INSTALL) return undefined
  const taken = source.path.map(() => 0)
  for (const path of all.flatMap(({ events }) => Object.values(events))) {
    for (let level = 0; level < taken.length && path[level] === source.path[level]; level++) taken[level]!++
  }
  return hasSlot(source, taken) ? { ...open, endsAt, events: { ...open.events, [eventId]: source.path } } : undefined
}

/**
 * Returns a record without an event; `undefined` if it can be deleted.
 * @param abandonedUntil expiry of the record if verification was given up, ms since the epoch
 */
export function withoutEvent (record: PendingRecord, eventId: string, abandonedUntil?: number): PendingRecord | undefined {
  const { [eventId]: _, ...events } = record.events
  const rest = { ...record, events }
  if (abandonedUntil !== undefined && (record.admitted > 0 || isOpen(rest))) return { ...rest, isAbandoned: true, endsAt: abandonedUntil }
  return isOpen(rest) || record.isAbandoned ? rest : undefined
}
