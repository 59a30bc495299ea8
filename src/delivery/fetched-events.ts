import type { FastifyBaseLogger } from 'fastify'
import type { HandlerContext } from './run-handler.ts'
import { FST_B24_INVALID_OPTIONS, FST_B24_NO_QUEUE } from '../errors.ts'
import { definitionOf } from '../events/definitions.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import { ChatEvents } from '../portal/offline/chat-events.ts'
import type { OfflineTimes } from '../portal/offline/offline-drain.ts'
import { OfflinePoller, type PollerTimes } from '../portal/offline/offline-poller.ts'
import { OfflineQueue } from '../portal/offline/offline-queue.ts'
import type { Rest } from '../portal/rest/rest.ts'
import { isFetched, OFFLINE_NOTIFICATION, type SubscriptionOptions, wantedEvents } from '../portal/subscriptions/wanted-events.ts'
import type { EventQueue } from '../storage/event-queue.ts'
import type { InstallStore } from '../storage/install-store.ts'
import type { Locks } from '../storage/storage.ts'
import type { OfflineEvent } from '../portal/offline/offline-event.ts'
import type { Envelope } from '../wire/envelope.ts'
import { type EventOrder, orderOf } from './deduplication.ts'
import { toQueuedEvent } from './inbound-event.ts'

export interface OfflineParts {
  rest: Pick<Rest, 'call'>
  locks: Locks
  store: Pick<InstallStore, 'scan'>
  /** Queue for fetched events; without it, nothing is fetched. */
  queue: Pick<EventQueue, 'add'> | undefined
  encryptor: Encryptor
  handlers: HandlerRegistry<HandlerContext>
  /** Option `delivery.coalesce`. */
  coalesce: boolean
  options: SubscriptionOptions
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  times?: Partial<PollerTimes & OfflineTimes> | undefined
}

export interface OpenedOffline {
  /** Used by `portal.offline.drain()`, in any process. */
  queue: Pick<OfflineQueue, 'drain'>
  /** Starts draining, in worker processes, once all handlers are registered. No-op unless the option `subscriptions.offline` is set. */
  start: () => void
  /** Await before closing the queue. */
  close: () => Promise<void>
}

/** Without a queue nothing is fetched: portals delete what they return. */
const WITHOUT_QUEUE: OpenedOffline = {
  queue: { drain: async () => { throw new FST_B24_NO_QUEUE() } },
  start: () => {},
  close: async () => {}
}

/** Creates the services that drain offline queues. */
export function openOffline ({ rest, locks, store, queue, encryptor, handlers, coalesce, options, log, times }: OfflineParts): OpenedOffline {
  if (queue === undefined) return WITHOUT_QUEUE
  const writer = new FetchedEventQueue({ queue, encryptor, handlers, coalesce })
  const offline = new OfflineQueue({ rest, locks, store: async event => await writer.enqueue(event), log, connector: options.authConnector, times })
  const isEnabled = () => wantedEvents(handlers, options).some(event => event.offline === true)
  const poller = new OfflinePoller({ queue: offline, store, locks, isEnabled, log, times })
  return {
    queue: offline,
    start: () => {
      if (options.offline === undefined || options.offline === false) return
      handlers.on(OFFLINE_NOTIFICATION, (_event, { portal }) => poller.notify(portal.memberId), { id: 'offline-notification' })
      poller.start()
    },
    close: async () => await poller.close()
  }
}

export interface ChatEventParts {
  rest: Pick<Rest, 'call'>
  locks: Locks
  store: InstallStore
  queue: Pick<EventQueue, 'add'> | undefined
  encryptor: Encryptor
  handlers: HandlerRegistry<HandlerContext>
  fetchEveryMs: number | undefined
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
}

export interface OpenedChatEvents {
  /** @throws FST_B24_INVALID_OPTIONS if handlers listen to fetched events and there is no queue */
  check: () => void
  /** Starts fetching, in worker processes, if handlers listen to such events. */
  start: () => void
  /** Await before closing the queue. */
  close: () => Promise<void>
}

/** Creates the services that fetch chat events. */
export function openChatEvents ({ rest, locks, store, queue, encryptor, handlers, fetchEveryMs = 10_000, log }: ChatEventParts): OpenedChatEvents {
  const fetched = () => handlers.codes.filter(isFetched)
  if (queue === undefined) {
    const check = () => {
      const [code] = fetched()
      if (code === undefined) return
      throw new FST_B24_INVALID_OPTIONS(`handlers of ${definitionOf(code)?.name} require delivery.mode 'queue': this event is fetched and must be stored`)
    }
    return { check, start: () => {}, close: async () => {} }
  }
  // Repeated chat events are different messages, so they are not coalesced.
  const writer = new FetchedEventQueue({ queue, encryptor, handlers, coalesce: false })
  const events = new ChatEvents({ rest, store, locks, enqueue: async event => await writer.enqueue(event), log })
  // Separate from the poll locks of the offline queues.
  const pollLocks: Locks = { take: async (name, ttlMs) => await locks.take(`chat-${name}`, ttlMs) }
  const poller = new OfflinePoller({ queue: events, store, locks: pollLocks, isEnabled: () => fetched().length > 0, log, times: { pollMs: fetchEveryMs } })
  return { check: () => {}, start: () => poller.start(), close: async () => await poller.close() }
}

export interface FetchedEventQueueParts {
  queue: Pick<EventQueue, 'add'>
  encryptor: Encryptor
  handlers: EventOrder
  coalesce: boolean
}

/** Queues events fetched from a portal. They are processed like received ones. */
export class FetchedEventQueue {
  readonly #parts: FetchedEventQueueParts

  constructor (parts: FetchedEventQueueParts) {
    this.#parts = parts
  }

  /** @throws FST_B24_STORE_UNAVAILABLE, FST_B24_CLOSING */
  async enqueue (event: OfflineEvent): Promise<void> {
    const { queue, encryptor, handlers, coalesce } = this.#parts
    const envelope = envelopeOf(event)
    await queue.add(toQueuedEvent({ envelope, token: undefined, ip: '' }, encryptor, { id: event.id, receivedAt: Date.now(), ...orderOf(envelope, handlers, coalesce) }))
  }
}

/** Returns the body that the portal would have sent. */
function envelopeOf ({ memberId, code, data, userId, timestamp }: OfflineEvent): Envelope {
  return {
    event: code,
    ...(data !== undefined && { data }),
    ...(timestamp !== undefined && { ts: Math.floor(timestamp / 1000) }),
    auth: { member_id: memberId, ...(userId !== undefined && { user_id: userId }) }
  }
}
