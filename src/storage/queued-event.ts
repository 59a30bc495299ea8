import type { AbortState } from '../async/abort.ts'
import type { DeadRow } from './event-store.ts'
import { bareError } from './unavailable.ts'

/** One event as it waits. Plain JSON, without any secret that is not encrypted; the queue reads only what stands here. */
export interface QueuedEvent {
  /** Ours, unique; the same at every attempt. */
  id: string
  /** Portal that the event is of. */
  memberId: string
  /** Who takes turns with the portals for it, and whose share it counts to, where its portal is not verified: `? <source>`. */
  group?: string
  /** Code on the wire, in capitals. */
  code: string
  /** When it came, ms since the epoch. */
  receivedAt: number
  /** Lifecycle events go before all others. */
  isPriority?: boolean
  /** What it is about, such as `deal:5`. Events of one key of a portal are handled one at a time, in order of arrival. */
  key?: string
  /** Waiting repeats of `code` and `key` of one portal become one. Only with `key`. */
  coalesce?: boolean
  /** What the handlers need beside; the queue only keeps it. */
  payload: unknown
}

/** One attempt at an event. It is aborted when the queue closes and its time is over, or when the event was given to another worker. */
export interface Run extends AbortState {
  /** As it was found: another version of the plugin, or somebody else, may have written it. `undefined` for what is no JSON. */
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

/** What became of a run. `hung`: it ran into a time limit, its own or one of a portal that does not answer. */
export type Outcome = ({
  /** Handled, or not to be kept. */
  status: 'done'
} | {
  /** Not now, and not counted as an attempt: again in `delayMs`. */
  status: 'later'
  delayMs: number
} | {
  /** `failed`: again after the backoff, a dead letter after the last attempt. `dead`: no attempt will help. */
  status: 'failed' | 'dead'
  error: Error
}) & { hung?: boolean }

/** Handles one attempt. A rejection counts as `failed`. */
export type Processor = (run: Run) => Promise<Outcome>

/** An event that could not be handled, kept to be looked at. */
export interface DeadEvent {
  id: string
  /** `''` where what was found is no event of this plugin; so is `code`. */
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

/** Returns whether a dead letter is meant. */
export type DeadEventFilter = (event: DeadEvent) => boolean

export interface DeadEventPage {
  items: DeadEvent[]
  /** Pass it to the next call; `undefined` when there is no more. */
  cursor?: string
}

/** Each verb rejects with `FST_B24_STORE_UNAVAILABLE` when the storage cannot be reached. */
export interface DeadLetterStore {
  /**
   * Some dead letters after `cursor`, newest first, up to `limit` (100 at most). A page may be short, even empty, and have a `cursor`.
   * @throws FST_B24_INVALID_CURSOR for what no page gives
   */
  list (filter?: DeadEventFilter, cursor?: string, limit?: number): Promise<DeadEventPage>
  get (id: string): Promise<DeadEvent | undefined>
  /** Puts it back into the queue with its progress, its attempts reset; `false` when there is none of this id. */
  replay (id: string): Promise<boolean>
  /** Deletes it; `false` when there is none of this id. */
  discard (id: string): Promise<boolean>
}

/** What `JSON.parse` makes of it; `undefined` for what is no JSON. */
export function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function errorText (error: Error): string {
  const { message, code } = bareError(error) as NodeJS.ErrnoException
  return JSON.stringify({ message, ...(typeof code === 'string' && { code }) })
}

export function deadEventOf ({ id, body, failedAt, attempts, coalesced, error }: DeadRow): DeadEvent {
  const { memberId, code, receivedAt, ...rest } = (parsed(body) ?? {}) as Partial<QueuedEvent>
  const facts = { id, failedAt, attempts, coalesced, error: (parsed(error) ?? { message: '' }) as DeadEvent['error'] }
  if (typeof memberId !== 'string' || typeof code !== 'string' || typeof receivedAt !== 'number') return { ...facts, memberId: '', code: '', receivedAt: failedAt }
  return { ...facts, memberId, code, receivedAt, event: { payload: undefined, ...rest, memberId, code, receivedAt, id } }
}
