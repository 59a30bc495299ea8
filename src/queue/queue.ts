import type { AbortState } from '../async/abort.ts'

/** One event as it waits. Plain JSON, without any secret that is not sealed; the queue reads only what stands here. */
export interface QueuedEvent {
  /** Ours, unique; the same at every attempt. */
  id: string
  /** Portal that the event is of. */
  memberId: string
  /** Who takes turns with the portals for it; where it is left out, its portal does. For what its portal has not proved to be its own. */
  turn?: string
  /** Code on the wire, in capitals. */
  code: string
  /** When it came, ms since the epoch. */
  receivedAt: number
  /** Lifecycle events go before all others. */
  first?: boolean
  /** The item that changed, such as `deal:5`. The same item of one portal is never handled twice at once. */
  item?: string
  /** Waiting repeats of `code` and `item` of one portal become one. Only with `item`. */
  coalesce?: boolean
  /** What the handlers need beside; the queue only keeps it. */
  payload: unknown
}

/** One attempt at an event. It is aborted when the queue closes and its time is over, or when the event was given to another worker. */
export interface Run extends AbortState {
  /** As it was found: an older version of the plugin, or a stranger, may have written it. */
  readonly event: unknown
  /** 1 at first, one more after each `failed`; also after a worker died of it. */
  readonly attempt: number
  /** How many deliveries this one stands for. */
  readonly coalesced: number
  /** What `save` kept at an earlier attempt; `undefined` when there was none, or a repeat has been coalesced since. */
  readonly progress: unknown
  /**
   * Keeps how far the handling got (JSON), durably before it resolves.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  save (progress: unknown): Promise<void>
}

/** What became of a run. */
export type Outcome =
  /** Handled, or not to be kept. */
  | { status: 'done' }
  /** Not now, and not counted as an attempt: again in `delayMs`. */
  | { status: 'later', delayMs: number }
  /** Again after the backoff; a dead letter after the last attempt. */
  | { status: 'failed', error: Error }
  /** No attempt will help: a dead letter at once. */
  | { status: 'dead', error: Error }

/** Handles one attempt. A rejection counts as `failed`. */
export type Process = (run: Run) => Promise<Outcome>

/** An event that could not be handled, kept to be looked at. */
export interface StoredLetter {
  id: string
  memberId: string
  code: string
  /** ms since the epoch. */
  receivedAt: number
  /** ms since the epoch. */
  failedAt: number
  attempts: number
  coalesced: number
  /** Why the last attempt failed. */
  error: { message: string, code?: string }
  /** The event as it was queued; `undefined` for what is no event of this plugin. */
  event?: QueuedEvent
}

/** Tells whether a letter is meant. */
export type LetterFilter = (letter: StoredLetter) => boolean

export interface DeadLetterPage {
  letters: StoredLetter[]
  /** Pass it to the next call; `undefined` when there is no more. */
  cursor?: string
}

/** Each verb rejects with `FST_B24_STORE_UNAVAILABLE` when the queue cannot be reached. */
export interface DeadLetterBox {
  /**
   * Some dead letters after `cursor`, newest first, up to `limit` (100 at most). A page may be short, even empty, and have a `cursor`.
   * @throws FST_B24_INVALID_CURSOR for what no page gives
   */
  list (filter?: LetterFilter, cursor?: string, limit?: number): Promise<DeadLetterPage>
  get (id: string): Promise<StoredLetter | undefined>
  /** Puts it back into the queue with its progress, its attempts counted anew; `false` when there is none of this id. */
  replay (id: string): Promise<boolean>
  /** Deletes it; `false` when there is none of this id. */
  discard (id: string): Promise<boolean>
}

/**
 * Events that wait to be tried (held back ones too: `later`, backoff), are being handled now by any worker, and are dead. A repeat
 * may be counted apart until a worker has seen it.
 */
export interface QueueCounts {
  waiting: number
  active: number
  dead: number
}

export interface QueueSettings {
  /** Attempts before an event is a dead letter. */
  attempts: number
  /** Wait before the second attempt, ms; doubled for each further one up to an hour, and spread at random by half of it. */
  backoffMs: number
  /** A worker that gave no sign for so long, ms, is taken for dead, and its events are given to others. */
  stalledAfterMs: number
  deadLetters: { maxAgeMs: number, maxCount: number }
  /** Told of each kind of failure once per outage; the queue recovers by itself. No secret stands in it. */
  onError: (error: Error) => void
  /** Told each time that the storage is there again. */
  onReady?: () => void
  /** Told when the storage would lose events, or has lost what it cannot read. */
  onWarning?: (problem: string) => void
}

export interface WorkOptions {
  /** Most runs at once in this process. */
  concurrency: number
  /** Told of each dead letter that a worker of this process makes, after it is stored. */
  onDead: (letter: StoredLetter) => void
}

/**
 * Keeps events until they are handled. Guarantees:
 *
 * 1. an event is stored durably before `add` resolves, and handled at least once, whatever dies;
 * 2. a failed one is tried again with growing waits, then kept as a dead letter;
 * 3. one item of one portal is never handled twice at once; waiting repeats become one; what arrives during a run is handled after it;
 * 4. portals take turns; lifecycle events go first.
 */
export interface EventQueue {
  readonly deadLetters: DeadLetterBox
  /**
   * Stores an event.
   * @throws FST_B24_STORE_UNAVAILABLE when it cannot be known to be stored, at the latest after a second
   * @throws FST_B24_CLOSING after `close` was called
   */
  add (event: QueuedEvent): Promise<void>
  /** Begins to handle events; once for each queue. */
  work (process: Process, options: WorkOptions): void
  counts (): Promise<QueueCounts>
  /**
   * Begins nothing more, waits up to `timeoutMs` for what runs, aborts the rest through their signals and gives them back (not
   * counted as an attempt). All else works on; what is added waits for other queues.
   */
  stopWorking (timeoutMs: number): Promise<void>
  /** Takes nothing in, stops working unless it has, and closes what it opened. */
  close (timeoutMs: number): Promise<void>
}
