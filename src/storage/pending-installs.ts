import type { TokenDigest } from '../installs/install.ts'
import { hasPlace, type Source } from './source-share.ts'

/** What a posted install says before anybody has confirmed it: this portal has this token. */
export interface PendingInstall {
  memberId: string
  /** Digest of the `application_token` that came with it. */
  token: TokenDigest
}

/**
 * `open`: an event that makes it is still to be verified. `abandoned`: the last of them was given up, and nobody knows whether it was
 * genuine. `closed`: they were verified or refused, or there never were any.
 */
export type PendingState = 'open' | 'abandoned' | 'closed'

/**
 * The installs that are being verified, as all processes of the app see them, so that events which follow at once are kept
 * and not refused. Bounded, so that forged ones can neither fill the storage nor push out genuine ones.
 *
 * Each event that makes one has a place, counted for the OAuth server that it names and for the networks of its sender. So installs whose
 * server does not answer keep no place from those whose server does, and none is ever ended for another: what was answered 200 stays until
 * its server answers, or becomes a dead letter after `INSTALL_PATIENCE_MS`.
 *
 * Every verb rejects with `FST_B24_STORE_UNAVAILABLE` when the storage cannot answer within a second.
 */
export interface PendingInstalls {
  /**
   * Opens a pending install, durably, for an event that makes it, until that is settled by `close` or `abandon`, or for two days. One that
   * is open counts the event beside those it has.
   * @returns `false` when its source has no place left (see `hasPlace`), or as many events as may be (8) wait already that make this install
   */
  open (pending: PendingInstall, source: Source, eventId: string): Promise<boolean>
  stateOf (pending: PendingInstall): Promise<PendingState>
  /**
   * Counts one event to be kept until an open install is verified.
   * @returns `false` when it is not open, or as many as may be (500) were counted for it already
   */
  admitEvent (pending: PendingInstall): Promise<boolean>
  /** An event that made the install was verified or refused. With the last of them it ends, and what was counted for it. */
  close (pending: PendingInstall, eventId: string): Promise<void>
  /** Such an event was given up. Where events were kept for the install, it ends as `abandoned`, and they can learn that for two days. */
  abandon (pending: PendingInstall, eventId: string): Promise<void>
}

/**
 * Time after which a pending install that nobody ended is forgotten, ms. Twice that of `INSTALL_PATIENCE_MS`: what was kept for it must
 * learn what became of it.
 */
export const PENDING_INSTALL_LIFE_MS = 2 * 24 * 60 * 60 * 1000
/** Time for which an install that cannot be verified is tried again, ms. */
export const INSTALL_PATIENCE_MS = 24 * 60 * 60 * 1000
/** Events that make one pending install and are not settled: a genuine install comes once, with an update or a system user beside it. */
export const MAX_EVENTS_PER_PENDING_INSTALL = 8
/** Events that are kept for one pending install. */
export const MAX_ADMITTED_EVENTS = 500

/** What a driver keeps of a pending install. */
export interface PendingRecord {
  /** ms since the epoch. */
  endsAt: number
  admitted: number
  isAbandoned: boolean
  /** Path of the source of each event that makes it and is not settled, by the id of the event. */
  events: Record<string, readonly string[]>
}

export function isOpen (record: PendingRecord | undefined): record is PendingRecord {
  return record !== undefined && Object.keys(record.events).length > 0
}

/**
 * Returns a record with one event more; `undefined` where none may be added.
 * @param all every record that has not ended
 */
export function withEvent (record: PendingRecord | undefined, all: readonly PendingRecord[], source: Source, eventId: string, endsAt: number): PendingRecord | undefined {
  const open = isOpen(record) ? record : { endsAt, admitted: 0, isAbandoned: false, events: {} }
  if (Object.hasOwn(open.events, eventId)) return open
  if (Object.keys(open.events).length >= MAX_EVENTS_PER_PENDING_INSTALL) return undefined
  const taken = source.path.map(() => 0)
  for (const path of all.flatMap(({ events }) => Object.values(events))) {
    for (let level = 0; level < taken.length && path[level] === source.path[level]; level++) taken[level]!++
  }
  return hasPlace(source, taken) ? { ...open, endsAt, events: { ...open.events, [eventId]: source.path } } : undefined
}

/**
 * Returns a record without an event; `undefined` where nothing is left to keep.
 * @param abandonedUntil end of the record, ms since the epoch, where the event was given up
 */
export function withoutEvent (record: PendingRecord, eventId: string, abandonedUntil?: number): PendingRecord | undefined {
  const { [eventId]: _, ...events } = record.events
  const rest = { ...record, events }
  if (abandonedUntil !== undefined && (record.admitted > 0 || isOpen(rest))) return { ...rest, isAbandoned: true, endsAt: abandonedUntil }
  return isOpen(rest) || record.isAbandoned ? rest : undefined
}
