import type { Binding, Bindings } from './bindings.ts'
import type { Delivery } from './deliver.ts'
import type { RaisedEvent } from './items.ts'
import type { OfflineEvents } from './offline-queue.ts'

/** Who caused an event. */
export interface Cause {
  /** `null` for nobody: a robot, an import. */
  userId: number | null
  /** App whose call it was; absent for a user at the portal's own pages. */
  clientId?: string
  /** `auth_connector` of that call. */
  connector?: string
}

export interface EventBusParts {
  clientId: string
  bindings: Bindings
  queue: OfflineEvents
  /** `false`: the portal sends nothing and queues nothing. */
  delivers: () => boolean
  send: (binding: Binding, event: RaisedEvent, userId: number | null) => Promise<Delivery>
}

const OFFLINE_NOTIFICATION = 'ONOFFLINEEVENT'
/** Bitrix24 keeps `options[minTimeout]` of a binding, but does not heed it. */
const BELL_PAUSE_MS = 1000

/** Takes what happens on a portal to the bindings of the app: by post, or into the offline queue. */
export class EventBus {
  readonly #parts: EventBusParts
  readonly #underway = new Set<Promise<unknown>>()
  #rungAt = -Infinity

  constructor (parts: EventBusParts) {
    this.#parts = parts
  }

  /** Resolves when every binding's handler has answered, or not. */
  async raise (event: RaisedEvent, cause: Cause): Promise<Delivery[]> {
    if (!this.#parts.delivers()) return []
    const queued = this.#queue(event, cause)
    return await this.#watch(Promise.all([...this.#post(event, cause), ...queued ? this.#ring(cause) : []]))
  }

  /** Resolves when nothing is on its way. */
  async settled (): Promise<void> {
    while (this.#underway.size > 0) await Promise.all(this.#underway)
  }

  #post (event: RaisedEvent, { userId }: Cause): Array<Promise<Delivery>> {
    const { bindings, clientId, send } = this.#parts
    return bindings.find({ clientId, event: event.code, offline: false })
      .map(async binding => await send(binding, event, binding.userId === 0 ? userId : binding.userId))
  }

  /** The app's own calls do not come back to it, by the connector that they name. */
  #queue ({ code, data }: RaisedEvent, cause: Cause): boolean {
    const { bindings, clientId, queue } = this.#parts
    const isOwn = (connector: string) => cause.clientId === clientId && (cause.connector ?? '') === connector
    const rows = bindings.find({ clientId, event: code, offline: true }).filter(({ connector }) => !isOwn(connector))
    for (const { connector } of rows) queue.put({ clientId, connector }, code, data, cause.userId ?? 0)
    return rows.length > 0
  }

  /** On the leading edge only: what comes within the second raises no later bell. */
  #ring (cause: Cause): Array<Promise<Delivery>> {
    const now = performance.now()
    if (now - this.#rungAt < BELL_PAUSE_MS) return []
    this.#rungAt = now
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
