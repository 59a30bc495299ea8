/**
 * What a driver keeps of events: one state machine, the same for every storage. `EventQueue` is built on it.
 *
 * | state | means | leaves by |
 * |---|---|---|
 * | waiting | in the line of its group | begun -> active; its key is busy -> blocked; only others listen to it -> deferred |
 * | blocked | another event of its key is active | that one ends -> waiting, in order of arrival |
 * | deferred | a live worker listens to it, and the one that came to it does not | that worker has a free place, or is gone -> waiting |
 * | active | a worker runs it, under that worker's lease | done -> gone; wait -> delayed, or waiting; dead; its worker is gone -> waiting, counted as a crash |
 * | delayed | not before its time | its time has come -> waiting; a repeat of what failed -> waiting at once |
 * | dead | a dead letter | replay -> waiting; discard, age, evicted -> gone |
 */
export interface EventStore {
  /**
   * Stores events durably before it resolves, all of them in one step. A repeat of what is pending (waiting, blocked, deferred or delayed)
   * becomes one with it: the newest body stays, `coalesced` counts up, progress is dropped, attempts start again but for crashes,
   * and what is delayed because it failed is waiting at once.
   *
   * @returns for each event, in this order, what came of it
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  add (events: readonly NewEvent[]): Promise<AddResult[]>
  /**
   * One step of a worker: stores outcomes of events that are still its own, renews its lease, takes over a bounded number of events from workers whose
   * lease is over, promotes what is due (a bounded number), and begins what is next.
   *
   * Groups take turns, priority events before all others. A group has room for another run as `hasRoom` of fair-share.ts says.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  turn (turn: Turn): Promise<TurnResult>
  /**
   * Names what a worker listens to: codes on the wire, in capitals, without a type suffix (`_1220`) where all types are meant; `undefined`:
   * everything. Ends with the lease of the worker. Priority events reach every worker.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  listen (worker: string, codes: readonly string[] | undefined): Promise<void>
  /**
   * Keeps the progress of an active event (JSON), durably before it resolves.
   * @returns `false` when the event is not this worker's any more
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  saveProgress (worker: string, seq: string, progress: string): Promise<boolean>
  /** @throws FST_B24_STORE_UNAVAILABLE */
  counts (): Promise<EventCounts>
  /**
   * Body of the oldest event that waits for its turn, of the `OLDEST_GROUPS` groups whose turns are next in each line; what is delayed does not count.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  oldestWaiting (): Promise<string | undefined>
  /** Dead letters below a place, newest first. @throws FST_B24_STORE_UNAVAILABLE */
  listDead (below: number | undefined, limit: number): Promise<DeadRow[]>
  getDead (id: string): Promise<DeadRow | undefined>
  /** Makes it waiting again with its progress, attempts and crashes 0; where an event of its `dedup` is pending, that takes it in instead. */
  replay (id: string): Promise<boolean>
  discard (id: string): Promise<boolean>
  /** Calls `wake` when another process, or this one, made something waiting. What it returns ends that. */
  onWaiting (wake: () => void): Promise<() => void>
}

export interface NewEvent {
  /** Unique; the same at every attempt. */
  id: string
  /** Who takes turns for it, and whose share it counts to: a `member_id`, or a source such as `? https://oauth.bitrix.info 192.0.2.0/24` while nothing verifies it. */
  group: string
  /** Code on the wire, in capitals. */
  code: string
  /** Goes before all that has none, and reaches every worker. */
  isPriority: boolean
  /** Events of one key run one at a time, in order of arrival; unique over all portals. */
  key?: string | undefined
  /** Of these one is pending at a time. */
  dedup?: string | undefined
  /** JSON. Drivers do not look into it. */
  body: string
}

/** `over_share`: the group, or all together, have as many bytes pending as they may. Nothing was stored. */
export type AddResult = 'stored' | 'coalesced' | 'over_share'

export interface Turn {
  /** Random name of the worker. */
  worker: string
  /** Time after which others take over from this worker, ms; 0: it leaves, and begins nothing. */
  leaseMs: number
  outcomes: readonly StoredOutcome[]
  /** How many events it may begin. */
  free: number
  /** Most events it runs at once. */
  concurrency: number
  /**
   * `seq` of all that it runs after this, where no other turn of it is under way. What else is its own was begun by a turn whose answer was lost:
   * that is given back, not counted as an attempt.
   */
  runs?: readonly string[]
  /**
   * How many it runs now, by group, and how many that group may run while others are there (`hasRoom`); what `outcomes` end is not counted.
   * A group that is not named runs none, and may run one.
   */
  running: Readonly<Record<string, { own: number, most: number }>>
  /** How many of them are of groups that were not known to respond when they were begun, and how many of groups that hung. */
  runningOf: { untested: number, hung: number }
  /** Groups of which a run ended well since the last turn. */
  responsive: readonly string[]
  /** Groups of which a run ran into a time limit, or has run for too long already. */
  hung: readonly string[]
}

/** What became of an active event. */
export type StoredOutcome =
  | { seq: string, status: 'done' }
  /** Again in `delayMs`, with so many attempts behind it. `isRetry`: it failed, so a repeat makes it waiting at once. */
  | { seq: string, status: 'wait', delayMs: number, attempts: number, isRetry: boolean }
  /** `error`: JSON of message and code. */
  | { seq: string, status: 'dead', attempts: number, error: string }

export interface TurnResult {
  begun: BegunEvent[]
  /** Dead letters that this turn made. */
  dead: DeadRow[]
  /** Time until the next delayed event is due, ms; `undefined` when there is none. */
  dueInMs: number | undefined
  /** Dead letters that were evicted though they were younger than `maxAgeMs`. */
  evicted: number
  /** The lease of this worker was not there any more, as at its first turn: what it ran before may have been given to others. */
  isLeaseLost: boolean
}

/** How a group was known when its event was begun. */
export type GroupState = 'responsive' | 'untested' | 'hung'

export interface BegunEvent {
  /** Place in the order of arrival; names the event to the driver. */
  seq: string
  group: string
  groupState: GroupState
  body: string
  /** Attempts that are behind it, crashes among them. */
  attempts: number
  coalesced: number
  /** JSON that `saveProgress` kept. */
  progress: string | undefined
}

export interface DeadRow {
  /** Higher than that of every older one. */
  place: number
  id: string
  body: string
  /** ms since the epoch, by the clock of the storage. */
  failedAt: number
  attempts: number
  coalesced: number
  /** JSON of message and code. */
  error: string
}

/** Events that wait to be tried (all states but the other two), are being handled now by any worker, and are dead letters. */
export interface EventCounts {
  waiting: number
  active: number
  dead: number
}

/** What a driver has to know. */
export interface EventStoreSettings {
  /** Attempts before an event whose workers died is a dead letter. */
  attempts: number
  deadLetters: { maxAgeMs: number, maxCount: number, maxBytes: number }
  /** Bytes that pending events of all portals may take; `undefined`: what the driver finds fit for its storage. */
  maxWaitingBytes: number | undefined
}

/** What every event costs beside its body, in bytes: so that a share of bytes bounds the number of events too. */
export const EVENT_OVERHEAD_BYTES = 512

/** Bytes that events of groups which nothing verifies (`? ...`) may take. */
export const MAX_UNVERIFIED_BYTES = 8 * 1024 * 1024

/** How many groups of a line are looked at for the oldest event: all of them, but in a great backlog. */
export const OLDEST_GROUPS = 500

/** Part of what others leave free that one group may fill. */
export const GROUP_SHARE = 0.25
