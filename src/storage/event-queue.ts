import { FST_B24_CLOSING, FST_B24_INVALID_CURSOR, FST_B24_PORTAL_QUOTA } from '../errors.ts'
import type { EventCounts, EventStore, NewEvent } from './event-store.ts'
import { QueueWorker, type QueueSettings, type WorkOptions } from './queue-worker.ts'
import { deadEventOf, parsed, type DeadLetterStore, type Processor, type QueuedEvent } from './queued-event.ts'
import { TickBatch } from './tick-batch.ts'

/** Most dead letters of a page, and most that are looked at for one. */
const PAGE = 100
/** Events that one command stores, so that the storage works on some while others come in. */
const ADD_AT_ONCE = 16

/**
 * Keeps events until they are handled. Guarantees:
 *
 * 1. an event is stored durably before `add` resolves, and handled at least once, whatever dies;
 * 2. a failed one is tried again with growing waits, then kept as a dead letter;
 * 3. events of one key of a portal are handled one at a time, in order of arrival; waiting repeats become one; what arrives during a run is handled
 *    after it. What failed waits for its next attempt beside the others of its key;
 * 4. portals take turns, and one that hangs has one place; lifecycle events go first;
 * 5. what waits of one portal is bounded.
 */
export class EventQueue {
  readonly #store: EventStore
  readonly #settings: QueueSettings
  readonly #adds: TickBatch<NewEvent, string>
  readonly #adding = new Set<Promise<unknown>>()
  #worker: QueueWorker | undefined
  #stopped: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor (store: EventStore, settings: QueueSettings) {
    this.#store = store
    this.#settings = settings
    this.#adds = new TickBatch(async events => await store.add(events), ADD_AT_ONCE)
  }

  /**
   * Stores an event.
   * @throws FST_B24_STORE_UNAVAILABLE when it cannot be known to be stored, at the latest after a second
   * @throws FST_B24_PORTAL_QUOTA when what waits of its group would be more than its share; nothing was stored
   * @throws FST_B24_CLOSING after `close` was called
   */
  async add (event: QueuedEvent): Promise<void> {
    if (this.#closed !== undefined) throw new FST_B24_CLOSING()
    const added = this.#adds.ask(newEventOf(event))
    this.#adding.add(added)
    try {
      if (await added === 'over_share') throw new FST_B24_PORTAL_QUOTA(event.group ?? event.memberId)
    } finally {
      this.#adding.delete(added)
    }
    this.#worker?.wake()
  }

  /** Begins to handle events; once for each queue. */
  work (processor: Processor, options: WorkOptions): void {
    this.#worker = new QueueWorker(this.#store, this.#settings, processor, options)
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async counts (): Promise<EventCounts> {
    return await this.#store.counts()
  }

  /**
   * When the oldest event came that waits for its turn, ms since the epoch; `undefined` when none waits. In a backlog of very many portals, the oldest of those
   * whose turns are next.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async oldestWaitingAt (): Promise<number | undefined> {
    const body = await this.#store.oldestWaiting()
    const { receivedAt } = (body === undefined ? {} : parsed(body) ?? {}) as Partial<QueuedEvent>
    return typeof receivedAt === 'number' ? receivedAt : undefined
  }

  readonly deadLetters: DeadLetterStore = {
    list: async (filter, cursor, limit = PAGE) => {
      if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) throw new FST_B24_INVALID_CURSOR()
      const looked = filter === undefined ? limit : PAGE
      const rows = await this.#store.listDead(cursor === undefined ? undefined : Number(cursor), looked)
      const found = rows.map(row => ({ place: row.place, event: deadEventOf(row) })).filter(({ event }) => filter?.(event) ?? true)
      const last = found.length > limit ? found[limit - 1] : rows[looked - 1]
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
   * Begins nothing more, waits up to `timeoutMs` for what runs, aborts the rest through their signals and gives them back (not
   * counted as an attempt). All else works on; what is added waits for other queues.
   */
  async stopWorking (timeoutMs: number): Promise<void> {
    await (this.#stopped ??= this.#worker?.close(timeoutMs))
  }

  /** Takes nothing in, and stops working unless it has. Never rejects. */
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
