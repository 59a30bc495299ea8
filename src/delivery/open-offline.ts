import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_NO_QUEUE } from '../errors.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { InstallStore } from '../storage/install-store.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { Locks } from '../storage/locks.ts'
import { OfflineQueue } from '../portal/offline/offline-queue.ts'
import type { OfflineTimes } from '../portal/offline/offline-drain.ts'
import { OfflinePoller, type PollerTimes } from '../portal/offline/offline-poller.ts'
import type { Rest } from '../portal/rest/rest.ts'
import { OFFLINE_NOTIFICATION, type SubscriptionOptions, wantedEvents } from '../portal/subscriptions/wanted-events.ts'
import type { EventQueue } from '../storage/event-queue.ts'
import type { HandlerContext } from './handlers/run-handler.ts'
import { OfflineIntake } from './intake/offline-intake.ts'

export interface OfflineParts {
  rest: Pick<Rest, 'call'>
  locks: Locks
  store: Pick<InstallStore, 'scan'>
  /** Where events are kept until they are handled; without it, no portal is asked for any. */
  queue: Pick<EventQueue, 'add'> | undefined
  encryptor: Encryptor
  handlers: HandlerRegistry<HandlerContext>
  /** As `delivery.coalesce`. */
  coalesce: boolean
  options: SubscriptionOptions
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  times?: Partial<PollerTimes & OfflineTimes> | undefined
}

export interface OpenedOffline {
  /** For `portal.offline.drain()`, in any process. */
  queue: Pick<OfflineQueue, 'drain'>
  /** Begins to drain portals, in a process that works, once its handlers are there. Does nothing where no event is to wait. */
  start: () => void
  /** To be awaited before the queue is closed. */
  close: () => Promise<void>
}

/** Nothing is asked of a portal before it is sure that what it gives can be stored: it may delete that. */
const NOTHING_STORED: OpenedOffline = {
  queue: { drain: async () => { throw new FST_B24_NO_QUEUE() } },
  start: () => {},
  close: async () => {}
}

/** Puts the parts of the catch-up together. */
export function openOffline ({ rest, locks, store, queue, encryptor, handlers, coalesce, options, log, times }: OfflineParts): OpenedOffline {
  if (queue === undefined) return NOTHING_STORED
  const intake = new OfflineIntake({ queue, encryptor, handlers, coalesce })
  const offline = new OfflineQueue({ rest, locks, store: async event => await intake.take(event), log, connector: options.authConnector, times })
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
