/**
 * Storage of events: one state machine, implemented by every driver. Used by `EventQueue`.
 *
 * | state | means | leaves by |
 * |---|---|---|
 * | waiting | in the queue of its group | started -> active; its key is active -> blocked; only other workers listen to it -> deferred |
 * | blocked | another event with its key is active | that one ends -> waiting, in order of arrival |
 * | deferred | another live worker listens to it, the current one does not | that worker has a free slot, or is dead -> waiting |
 * | active | a worker runs it, under that worker's lease | done -> deleted; wait -> delayed or waiting; dead; its worker is dead -> waiting, counted as a crash |
 * | delayed | not before its due time | due -> waiting; failed and repeated -> waiting at once |
 * | dead | a dead letter | replay -> waiting; discard, age, eviction -> deleted |
 */
export interface EventStore {
  /**
   * Stores events atomically, and durably before it resolves. A repeat of a pending event (waiting, blocked, deferred or delayed) is merged into
   * it: the newer body replaces the older, `coalesced` is incremented, progress is dropped, attempts are reset except for crashes, and a delayed
   * event that failed is waiting at once.
   *
   * @returns a result for each event, in the same order
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  add (events: readonly NewEvent[]): Promise<AddResult[]>
  /**
   * Runs one turn of a worker: stores the outcomes of events that it still owns, renews its lease, takes over events of workers whose lease has
   * expired, promotes delayed events that are due, and starts the next ones. All numbers are bounded.
   *
   * Groups rotate; priority events come first. `hasFreeSlot` of fair-share.ts limits the runs of each group.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  turn (turn: Turn): Promise<TurnResult>
  /**
   * Stores the event codes that a worker listens to: in upper case, without a type suffix (`_1220`) for all types; `undefined`: all codes.
   * Expires with the lease of the worker. Every worker gets priority events.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  listen (worker: string, codes: readonly string[] | undefined): Promise<void>
  /**
   * Stores the progress of an active event (JSON), durably before it resolves.
   * @returns `false` if this worker no longer owns the event
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  saveProgress (worker: string, seq: string, progress: string): Promise<boolean>
  /** @throws FST_B24_STORE_UNAVAILABLE */
  counts (): Promise<EventCounts>
  /**
   * Returns the body of the oldest waiting event among the `OLDEST_GROUPS` groups of each lane whose turn is next. Excludes delayed events.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  oldestWaiting (): Promise<string | undefined>
  /** Lists dead letters below a place, newest first. @throws FST_B24_STORE_UNAVAILABLE */
  listDead (below: number | undefined, limit: number): Promise<DeadRow[]>
  getDead (id: string): Promise<DeadRow | undefined>
  /**
   * Moves a dead letter back to waiting with its progress; attempts and crashes are reset. It is merged into a pending event with the same `dedup`.
   * Its place among waiting events is not defined.
   */
  replay (id: string): Promise<boolean>
  discard (id: string): Promise<boolean>
  /** Calls `wake` when any process adds waiting events. Resolves with a function that unsubscribes. */
  onWaiting (wake: () => void): Promise<() => void>
}

export interface NewEvent {
  /** Unique, and constant over all attempts. */
  id: string
  /** Unit of fairness and quotas: a `member_id`, or a source such as `? https://oauth.bitrix.info 192.0.2.0/24` for an unverified event. */
  group: string
  /** Event code in upper case. */
  code: string
  /** Runs before all other events, on any worker. */
  isPriority: boolean
  /** Events with the same key run one at a time in order of arrival. Unique over all portals. */
  key?: string | undefined
  /** At most one event with this value is pending. */
  dedup?: string | undefined
  /** JSON, opaque to drivers. */
  body: string
}

/** `over_share`: the pending bytes of the group, or of all groups, have reached their limit. Nothing was stored. */
export type AddResult = 'stored' | 'coalesced' | 'over_share'

export interface Turn {
  /** Random id of the worker. */
  worker: string
  /** How long until others take over events of this worker, ms; 0: the worker stops, and starts nothing. */
  leaseMs: number
  outcomes: readonly StoredOutcome[]
  /** Maximum number of events to start. */
  free: number
  /** Maximum number of concurrent events of this worker. */
  concurrency: number
  /**
   * `seq` of all events that the worker still runs; only if no other turn of it is in progress. Its other active events were started by a turn
   * whose response was lost: they return to waiting without counting an attempt.
   */
  runs?: readonly string[]
  /**
   * Number of running events by group, without those in `outcomes`, and the maximum for the group while others wait (see `hasFreeSlot`). For a
   * missing group: none, and one.
   */
  running: Readonly<Record<string, { own: number, most: number }>>
  /** `untested` and `hung` of `SlotUsage`. */
  runningOf: { untested: number, hung: number }
  /** Groups with a successful run since the last turn. */
  responsive: readonly string[]
  /** Groups with a run that timed out, or is running for too long. */
  hung: readonly string[]
}

/** Outcome of an active event. */
export type StoredOutcome =
  | { seq: string, status: 'done' }
  /** Retried in `delayMs`; `attempts`: those made so far. `isRetry`: it failed, so a repeat makes it waiting at once. */
  | { seq: string, status: 'wait', delayMs: number, attempts: number, isRetry: boolean }
  /** `error`: JSON of message and code. */
  | { seq: string, status: 'dead', attempts: number, error: string }

export interface TurnResult {
  begun: BegunEvent[]
  /** Dead letters created by this turn. */
  dead: DeadRow[]
  /** Time until the next delayed event is due, ms; `undefined` if there is none. */
  dueInMs: number | undefined
  /** Number of dead letters evicted before `maxAgeMs`. */
  evicted: number
  /** The worker had no lease, as at its first turn: its events may have been reassigned. */
  isLeaseLost: boolean
}

/** State of a group when its event was started. */
export type GroupState = 'responsive' | 'untested' | 'hung'

export interface BegunEvent {
  /** Position in the order of arrival; identifies the event to the driver. */
  seq: string
  group: string
  groupState: GroupState
  body: string
  /** Previous attempts, including crashes. */
  attempts: number
  coalesced: number
  /** JSON stored by `saveProgress`. */
  progress: string | undefined
}

export interface DeadRow {
  /** Increases with each dead letter. */
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

/** Number of events by state; `waiting` includes all states except active and dead. */
export interface EventCounts {
  waiting: number
  active: number
  dead: number
}

/** Settings of a driver. */
export interface EventStoreSettings {
  /** Number of crashes and attempts after which an event becomes a dead letter. */
  attempts: number
  deadLetters: { maxAgeMs: number, maxCount: number, maxBytes: number }
  /** Maximum bytes of pending events of all portals; `undefined`: the driver's default. */
  maxWaitingBytes: number | undefined
}

/** Bytes counted for each event in addition to its body, so that a limit in bytes also bounds the number of events. */
export const EVENT_OVERHEAD_BYTES = 512

/** Maximum bytes of pending events of all unverified groups (`? ...`). */
export const MAX_UNVERIFIED_BYTES = 8 * 1024 * 1024

/** Maximum groups of a lane that are searched for the oldest event. */
export const OLDEST_GROUPS = 500

/** Fraction of the bytes left free by others that one group may use. */
export const GROUP_SHARE = 0.25
