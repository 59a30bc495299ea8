import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_INVALID_OPTIONS } from '../errors.ts'
import { definitionOf } from '../events/definitions.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { InstallStore } from '../storage/install-store.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import { ChatEvents } from '../portal/offline/chat-events.ts'
import type { Locks } from '../storage/locks.ts'
import { OfflinePoller } from '../portal/offline/offline-poller.ts'
import type { Rest } from '../portal/rest/rest.ts'
import { isFetched } from '../portal/subscriptions/wanted-events.ts'
import type { EventQueue } from '../storage/event-queue.ts'
import type { HandlerContext } from './handlers/run-handler.ts'
import { OfflineIntake } from './intake/offline-intake.ts'

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
  /** @throws FST_B24_INVALID_OPTIONS where handlers listen to events that could not be stored */
  check: () => void
  /** Begins to fetch, in a process that works, where handlers listen to such events. */
  start: () => void
  /** To be awaited before the queue is closed. */
  close: () => Promise<void>
}

/** Puts the parts together that fetch what portals do not post. */
export function openChatEvents ({ rest, locks, store, queue, encryptor, handlers, fetchEveryMs = 10_000, log }: ChatEventParts): OpenedChatEvents {
  const fetched = () => handlers.codes.filter(isFetched)
  if (queue === undefined) {
    const check = () => {
      const [code] = fetched()
      if (code === undefined) return
      throw new FST_B24_INVALID_OPTIONS(`handlers of ${definitionOf(code)?.name} need delivery.mode 'queue': portals do not post this event, and what is fetched must be stored`)
    }
    return { check, start: () => {}, close: async () => {} }
  }
  // Chat events that repeat are different messages.
  const intake = new OfflineIntake({ queue, encryptor, handlers, coalesce: false })
  const events = new ChatEvents({ rest, store, locks, enqueue: async event => await intake.take(event), log })
  // The turns of the offline queues are others.
  const turns: Locks = { take: async (name, ttlMs) => await locks.take(`chat-${name}`, ttlMs) }
  const poller = new OfflinePoller({ queue: events, store, locks: turns, isEnabled: () => fetched().length > 0, log, times: { pollMs: fetchEveryMs } })
  return { check: () => {}, start: () => poller.start(), close: async () => await poller.close() }
}
