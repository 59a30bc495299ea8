import { FST_B24_CLOSING, FST_B24_INVALID_CURSOR, FST_B24_PORTAL_QUOTA } from '../errors.ts'
import type { EventCounts, EventStore, NewEvent } from './event-store.ts'
import { QueueWorker, type QueueSettings, type WorkOptions } from './queue-worker.ts'
import { deadEventOf, tryParse, type DeadLetterStore, type Processor, type QueuedEvent } from './queued-event.ts'
import { TickBatcher } from './tick-batcher.ts'

/** Maximum dead letters per page, and maximum scanned for a filtered page. */
const PAGE_SIZE = 100
/** Maximum events per command, so that the storage works on some while others are still being received. */
const ADD_BATCH_SIZE = 16

/**
 * Stores events until they are handled. Guarantees:
 *
 * 1. at least once: an event is stored durably before `add` resolves, and handled even if processes crash;
 * 2. retries: a failed event is retried with exponential backoff, then becomes a dead letter;
 * 3. order: events of a portal with the same key are handled one at a time in order of arrival, and waiting repeats are merged into one. A failed
 *    event does not block the others of its key until its next attempt;
 * 4. fairness: portals take turns, a portal that hangs gets a single slot, and lifecycle events have priority;
 * 5. quota: the waiting events of each portal are bounded.
 */
export class EventQueue {
  readonly #store: EventStore
  readonly #settings: QueueSettings
  readonly #adds: TickBatcher<NewEvent, string>
  readonly #adding = new Set<Promise<unknown>>()
  #worker: QueueWorker | undefined
  #stopped: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor (store: EventStore, settings: QueueSettings) {
    this.#store = store
    this.#settings = settings
    this.#adds = new TickBatcher(async events => await store.add(events), ADD_BATCH_SIZE)
  }

  /**
   * Stores an event.
   * @throws FST_B24_STORE_UNAVAILABLE within a second if the storage does not confirm it; it may be stored anyway
   * @throws FST_B24_PORTAL_QUOTA if the waiting events of its group would exceed their share; nothing was stored
   * @throws FST_B24_CLOSING after `close`
   */
  async add (event: QueuedEvent): Promise<void> {
    if (this.#closed !== undefined) throw new FST_B24_CLOSING()
    const added = this.#adds.add(newEventOf(event))
    this.#adding.add(added)
    try {
      if (await added === 'over_share') throw new FST_B24_PORTAL_QUOTA(event.group ?? event.memberId)
    } finally {
      this.#adding.delete(added)
    }
    this.#worker?.wake()
  }

  /** Starts handling events. Call it once. */
  work (processor: Processor, options: WorkOptions): void {
    this.#worker = new QueueWorker(this.#store, this.#settings, processor, options)
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async counts (): Promise<EventCounts> {
    return await this.#store.counts()
  }

  /**
   * Returns when the oldest waiting event was received, ms since the epoch; `undefined` if none is waiting. Exact unless very many portals wait: then only
   * those whose turn is next are considered.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async oldestWaitingAt (): Promise<number | undefined> {
    const body = await this.#store.oldestWaiting()
    const { receivedAt } = (body === undefined ? {} : tryParse(body) ?? {}) as Partial<QueuedEvent>
    return typeof receivedAt === 'number' ? receivedAt : undefined
  }

  readonly deadLetters: DeadLetterStore = {
    list: async (filter, cursor, limit = PAGE_SIZE) => {
      if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) throw new FST_B24_INVALID_CURSOR()
      const scanned = filter === undefined ? limit : PAGE_SIZE
      const rows = await this.#store.listDead(cursor === undefined ? undefined : Number(cursor), scanned)
      const found = rows.map(row => ({ place: row.place, event: deadEventOf(row) })).filter(({ event }) => filter?.(event) ?? true)
      const last = found.length > limit ? found[limit - 1] : rows[scanned - 1]
      return { items: found.slice(0, limit).map(({ event }) => event), ...(last !== undefined && { cursor: String(last.place) }) }
    },
    get: async id => {
      const row = await this.#store.getDead(id)
      return row && deadEventOf(row)
    },
    replay: async id => await this.#store.replay(id),
    discard: async id => await this.#store.discard(id)
  }

  /**
   * Starts no further event, waits up to `timeoutMs` for running ones, then aborts the others through their signals and returns them to the queue
   * without counting an attempt. All other methods still work; added events wait for other workers.
   */
  async stopWorking (timeoutMs: number): Promise<void> {
    await (this.#stopped ??= this.#worker?.close(timeoutMs))
  }

  /** Stops working, and rejects further events. Never rejects itself. */
  close (timeoutMs: number): Promise<void> {
    this.#closed ??= this.stopWorking(timeoutMs).then(async () => { await Promise.allSettled(this.#adding) })
    return this.#closed
  }
}

function newEventOf (event: QueuedEvent): NewEvent {
  const { id, memberId, group = memberId, code, isPriority = false, key, coalesce = false } = event
  return {
    id,
    group,
    code,
    isPriority,
    ...(key !== undefined && { key: JSON.stringify([memberId, key]), ...(coalesce && { dedup: JSON.stringify([memberId, code, key]) }) }),
    body: JSON.stringify(event)
  }
}
