import type { FastifyBaseLogger } from 'fastify'
import type { EventHooks } from '../events/hooks.ts'
import type { InstallStore } from '../installs/store.ts'
import type { Sealer } from '../oauth/seal.ts'
import type { Locks } from '../portal/locks.ts'
import { OfflineQueue } from '../portal/offline.ts'
import type { OfflineTimes } from '../portal/offline-drain.ts'
import { OfflineWatch, type WatchTimes } from '../portal/offline-watch.ts'
import type { Rest } from '../portal/rest.ts'
import { BELL, type SubscriptionOptions, wantedEvents } from '../portal/wanted-events.ts'
import type { EventQueue } from '../queue/queue.ts'
import type { HandlerContext } from './handler-context.ts'
import { OfflineIntake } from './offline-intake.ts'

export interface OfflineParts {
  rest: Pick<Rest, 'call'>
  locks: Locks
  store: Pick<InstallStore, 'scan'>
  /** Where events are kept until they are handled. */
  queue: Pick<EventQueue, 'add'>
  sealer: Sealer
  hooks: EventHooks<HandlerContext>
  /** As `delivery.coalesce`. */
  coalesce: boolean
  options: SubscriptionOptions
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>
  times?: Partial<WatchTimes & OfflineTimes> | undefined
}

export interface OpenedOffline {
  /** For `portal.offline.drain()`, in any process. */
  queue: OfflineQueue
  /** Begins to drain portals, in a process that works, once its handlers are there. Does nothing where no event is to wait. */
  start: () => void
  /** To be awaited before the queue is closed. */
  close: () => Promise<void>
}

/** Puts the parts of the catch-up together. */
export function openOffline ({ rest, locks, store, queue, sealer, hooks, coalesce, options, log, times }: OfflineParts): OpenedOffline {
  const intake = new OfflineIntake({ queue, sealer, hooks, coalesce })
  const offline = new OfflineQueue({ rest, locks, store: async event => await intake.take(event), log, connector: options.authConnector, times })
  const wants = () => wantedEvents(hooks.codes, options).some(event => event.offline === true)
  const watch = new OfflineWatch({ queue: offline, store, locks, wants, log, times })
  return {
    queue: offline,
    start: () => {
      if (options.offline === undefined || options.offline === false) return
      hooks.on(BELL, (_event, { portal }) => watch.ring(portal.memberId), { id: 'offline-bell' })
      watch.start()
    },
    close: async () => await watch.close()
  }
}
