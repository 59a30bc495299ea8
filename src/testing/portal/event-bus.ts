import { inspect } from 'node:util'
import type { Delivery } from './deliver.ts'
import type { OfflineEvents } from './event-queues.ts'
import type { EmittedEvent } from './items.ts'

/** Cause of an event. */
export interface Cause {
  /** `null` for a robot or an import. */
  userId: number | null
  /** App whose call caused it; absent for users of the portal's own pages. */
  clientId?: string
  /** `auth_connector` of that call. */
  connector?: string
}

export interface EventBusParts {
  clientId: string
  bindings: Bindings
  queue: OfflineEvents
  /** `false`: the portal sends and queues no events. */
  delivers: () => boolean
  send: (binding: Binding, event: EmittedEvent, userId: number | null) => Promise<Delivery>
}

const OFFLINE_NOTIFICATION = 'ONOFFLINEEVENT'
/** Bitrix24 stores `options[minTimeout]` of a binding, but ignores it. */
const NOTIFICATION_PAUSE_MS = 1000

/** Delivers events of a portal to the bindings of the app: by HTTP, or into the offline queue. */
export class EventBus {
  readonly #parts: EventBusParts
  readonly #underway = new Set<Promise<unknown>>()
  #notifiedAt = -Infinity

  constructor (parts: EventBusParts) {
    this.#parts = parts
  }

  /** Resolves when the deliveries to all bindings have ended. */
  async emit (event: EmittedEvent, cause: Cause): Promise<Delivery[]> {
    if (!this.#parts.delivers()) return []
    const queued = this.#queue(event, cause)
    return await this.#watch(Promise.all([...this.#post(event, cause), ...queued ? this.#notifyApp(cause) : []]))
  }

  /** Resolves when no delivery is in progress. */
  async settled (): Promise<void> {
    while (this.#underway.size > 0) await Promise.all(this.#underway)
  }

  #post (event: EmittedEvent, { userId }: Cause): Array<Promise<Delivery>> {
    const { bindings, clientId, send } = this.#parts
    return bindings.find({ clientId, event: event.code, offline: false })
      .map(async binding => await send(binding, event, binding.userId === 0 ? userId : binding.userId))
  }

  /** Queues an event, except for connectors named by the app's own call. */
  #queue ({ code, data }: EmittedEvent, cause: Cause): boolean {
    const { bindings, clientId, queue } = this.#parts
    const isOwn = (connector: string) => cause.clientId === clientId && (cause.connector ?? '') === connector
    const rows = bindings.find({ clientId, event: code, offline: true }).filter(({ connector }) => !isOwn(connector))
    for (const { connector } of rows) queue.add({ clientId, connector }, code, data, cause.userId ?? 0)
    return rows.length > 0
  }

  /** Notifies on the leading edge only: events within the next second cause no notification. */
  #notifyApp (cause: Cause): Array<Promise<Delivery>> {
    const now = performance.now()
    if (now - this.#notifiedAt < NOTIFICATION_PAUSE_MS) return []
    this.#notifiedAt = now
    return this.#post({ code: OFFLINE_NOTIFICATION, data: undefined }, cause)
  }

  async #watch<T> (work: Promise<T>): Promise<T> {
    this.#underway.add(work)
    try {
      return await work
    } finally {
      this.#underway.delete(work)
    }
  }
}

/** An event binding of a portal. */
export interface Binding {
  clientId: string
  /** Event code in upper case. */
  event: string
  /** Empty for an offline binding. */
  handler: string
  /** User whose tokens are sent with the event; 0 for the acting user. */
  userId: number
  offline: boolean
  /** Queue of an offline binding; empty for the app's default queue. */
  connector: string
}

/** Bindings that apps have added to a portal with `event.bind`. */
export class Bindings {
  #rows: Binding[] = []

  /** @returns `false` for a duplicate */
  add (row: Binding): boolean {
    if (this.#rows.some(known => matches(known, row))) return false
    this.#rows.push(row)
    return true
  }

  /** @returns number of removed rows */
  remove (gone: Partial<Binding>): number {
    const before = this.#rows.length
    this.#rows = this.#rows.filter(row => !matches(row, gone))
    return before - this.#rows.length
  }

  find (wanted: Partial<Binding>): Binding[] {
    return this.#rows.filter(row => matches(row, wanted))
  }

  [Symbol.iterator] (): Iterator<Binding> {
    return this.#rows.values()
  }

  toJSON (): Binding[] {
    return this.#rows
  }

  /** Makes `console.log` print the rows. */
  [inspect.custom] (): Binding[] {
    return this.#rows
  }
}

function matches (row: Binding, wanted: Partial<Binding>): boolean {
  return Object.entries(wanted).every(([name, value]) => row[name as keyof Binding] === value)
}
