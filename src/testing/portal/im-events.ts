import type { RaisedEvent } from './items.ts'

interface LoggedEvent {
  eventId: number
  userId: number
  type: string
  at: number
  data: unknown
}

/** What `im.v2.Event.get` answers. */
export interface FetchedEvents {
  events: Array<{ eventId: number, type: string, date: string, data: unknown }>
  nextOffset: number
  hasMore: boolean
}

const KEPT_MS = 24 * 3_600_000
const MOST_EVENTS = 1_000

/**
 * Events of the chats of users who have subscribed, until they are acknowledged or a day old.
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

  /** Ids of the users whose events are kept. */
  get subscribed (): number[] {
    return [...this.#subscribed]
  }

  subscribe (userId: number): void {
    this.#subscribed.add(userId)
  }

  /** What is kept for the user stays. */
  unsubscribe (userId: number): void {
    this.#subscribed.delete(userId)
  }

  /** Keeps an event for every user who has subscribed. */
  put ({ code, data }: RaisedEvent): void {
    for (const userId of this.#subscribed) this.#rows.push({ eventId: ++this.#lastId, userId, type: code, at: this.#now(), data: data ?? {} })
  }

  /** Deletes the user's events below `offset`, and gives the first of those that are left. */
  fetch (userId: number, offset = 0, limit = 100): FetchedEvents {
    const oldest = this.#now() - KEPT_MS
    this.#rows = this.#rows.filter(row => row.at >= oldest && (row.userId !== userId || row.eventId >= offset))
    const most = Math.min(MOST_EVENTS, Math.max(1, limit))
    const rows = this.#rows.filter(row => row.userId === userId).slice(0, most)
    return {
      events: rows.map(({ eventId, type, at, data }) => ({ eventId, type, date: new Date(at).toISOString().replace(/\.\d+Z$/, '+00:00'), data })),
      nextOffset: Math.max(offset, (rows.at(-1)?.eventId ?? -1) + 1),
      // Also when exactly so many were left: the portal does not look further.
      hasMore: rows.length >= most
    }
  }
}
