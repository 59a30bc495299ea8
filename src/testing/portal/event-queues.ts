import { hash, randomBytes } from 'node:crypto'
import type { EmittedEvent } from './items.ts'
import { meets, type Row, sorted } from './row-query.ts'

/** Identifies a queue: each app has a default one, and one per connector. */
export interface QueueName {
  clientId: string
  connector: string
}

/** An event that waits until the app fetches it. */
export interface QueuedChange extends QueueName {
  id: number
  /** Sequence number, which orders events within a second. */
  sequence: number
  timestamp: number
  event: string
  data: unknown
  userId: number
  messageId: string
  /** Empty while the row is not reserved. */
  processId: string
  error: boolean
}

export interface Batch {
  filter: Row
  order: Row
  limit: number
  error: boolean
}

/**
 * Offline events of a portal, with the quirks of Bitrix24: a repeated event updates the waiting row, even if that is an invisible error
 * row; an empty list of ids means all; an empty process id means rows that are not reserved.
 */
export class OfflineEvents {
  #rows: QueuedChange[] = []
  #lastId = 0
  #sequence = 0

  /** All rows, oldest first. */
  get rows (): readonly QueuedChange[] {
    return this.#rows
  }

  add (name: QueueName, event: string, data: unknown, userId: number): void {
    const messageId = hash('md5', `${event}|${JSON.stringify(data)}`)
    const seen = { sequence: ++this.#sequence, timestamp: Date.now(), data, userId }
    const waiting = this.#rows.find(row => isIn(row, name) && row.messageId === messageId && row.processId === '')
    if (waiting !== undefined) Object.assign(waiting, seen)
    else this.#rows.push({ ...name, ...seen, id: ++this.#lastId, event, messageId, processId: '', error: false })
  }

  /** Reserves the first free rows under a new process id. */
  reserve (name: QueueName, batch: Batch): string {
    const processId = randomBytes(16).toString('hex')
    for (const row of this.#select(name, '', batch)) row.processId = processId
    return processId
  }

  /** Returns the rows of a batch in REST format. */
  read (name: QueueName, processId: string, batch: Batch): Row[] {
    return this.#select(name, processId, batch).map(showChange)
  }

  /** Returns the rows of a queue in any state, for `event.offline.list`. */
  list (name: QueueName, filter: Row, order: Row): Row[] {
    const rows = this.#rows.filter(row => isIn(row, name)).map(showAll)
    return sorted(rows.filter(row => meets(row, filter)), order)
  }

  /** Deletes a batch, or only the named rows of it. */
  clear (name: QueueName, processId: string, named: { ids?: readonly string[], messageIds?: readonly string[] } = {}): void {
    const { ids = [], messageIds = [] } = named
    this.#rows = this.#rows.filter(row => {
      if (!isIn(row, name) || row.processId !== processId) return true
      if (messageIds.length > 0) return !messageIds.includes(row.messageId)
      return ids.length > 0 && !ids.includes(String(row.id))
    })
  }

  /** Marks rows of a batch as errors; named rows of another batch are deleted. */
  markErrors (name: QueueName, processId: string, messageIds: readonly string[]): void {
    const named = this.#rows.filter(row => isIn(row, name) && messageIds.includes(row.messageId) && !row.error)
    const marked = named.filter(row => row.processId === processId)
    for (const row of marked) Object.assign(row, { error: true, processId: '' })
    const gone = new Set(named.filter(row => !marked.includes(row)))
    this.#rows = this.#rows.filter(row => !gone.has(row))
  }

  /** Deletes all rows of an app, as after an uninstall. */
  removeApp (clientId: string): void {
    this.#rows = this.#rows.filter(row => row.clientId !== clientId)
  }

  #select (name: QueueName, processId: string, { filter, order, limit, error }: Batch): QueuedChange[] {
    const rows = this.#rows.filter(row => isIn(row, name) && row.processId === processId && row.error === error)
    const met = rows.map(row => ({ ...showAll(row), row })).filter(shown => meets(shown, filter))
    // `TIMESTAMP_X` has a resolution of seconds, so rows are sorted by sequence.
    return sorted(met.map(shown => ({ ...shown, TIMESTAMP_X: shown.row.sequence })), order).slice(0, limit).map(({ row }) => row)
  }
}

function isIn (row: QueuedChange, { clientId, connector }: QueueName): boolean {
  return row.clientId === clientId && row.connector === connector
}

function showChange (row: QueuedChange): Row {
  return {
    ID: String(row.id),
    TIMESTAMP_X: new Date(row.timestamp).toISOString().replace(/\.\d+Z$/, '+00:00'),
    EVENT_NAME: row.event,
    EVENT_DATA: row.data ?? false,
    EVENT_ADDITIONAL: { user_id: String(row.userId) },
    MESSAGE_ID: row.messageId
  }
}

function showAll (row: QueuedChange): Row {
  return { ...showChange(row), PROCESS_ID: row.processId, ERROR: row.error ? '1' : '0' }
}

interface LoggedEvent {
  eventId: number
  userId: number
  type: string
  at: number
  data: unknown
}

/** Result of `im.v2.Event.get`. */
export interface FetchedEvents {
  events: Array<{ eventId: number, type: string, date: string, data: unknown }>
  nextOffset: number
  hasMore: boolean
}

const KEPT_MS = 24 * 3_600_000
const MOST_EVENTS = 1_000

/**
 * Chat events of subscribed users, until they are acknowledged or a day old.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/chat-bots/chat-bots-v2/im.v2/events/event-get.md
 */
export class ImEvents {
  readonly #now: () => number
  readonly #subscribed = new Set<number>()
  #rows: LoggedEvent[] = []
  #lastId = 2_000

  constructor (now: () => number = Date.now) {
    this.#now = now
  }

  /** Ids of subscribed users. */
  get subscribed (): number[] {
    return [...this.#subscribed]
  }

  subscribe (userId: number): void {
    this.#subscribed.add(userId)
  }

  /** Keeps the stored events of the user. */
  unsubscribe (userId: number): void {
    this.#subscribed.delete(userId)
  }

  /** Stores an event for every subscribed user. */
  add ({ code, data }: EmittedEvent): void {
    for (const userId of this.#subscribed) this.#rows.push({ eventId: ++this.#lastId, userId, type: code, at: this.#now(), data: data ?? {} })
  }

  /** Deletes the user's events below `offset`, and returns the first remaining ones. */
  fetch (userId: number, offset = 0, limit = 100): FetchedEvents {
    const oldest = this.#now() - KEPT_MS
    this.#rows = this.#rows.filter(row => row.at >= oldest && (row.userId !== userId || row.eventId >= offset))
    const most = Math.min(MOST_EVENTS, Math.max(1, limit))
    const rows = this.#rows.filter(row => row.userId === userId).slice(0, most)
    return {
      events: rows.map(({ eventId, type, at, data }) => ({ eventId, type, date: new Date(at).toISOString().replace(/\.\d+Z$/, '+00:00'), data })),
      nextOffset: Math.max(offset, (rows.at(-1)?.eventId ?? -1) + 1),
      // Also true if exactly `most` were left: the portal does not check further.
      hasMore: rows.length >= most
    }
  }
}
