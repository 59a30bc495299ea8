import type { FastifyBaseLogger } from 'fastify'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { PendingInstalls } from '../storage/pending-installs.ts'
import type { InstallStore } from '../storage/install-store.ts'
import type { WebhookTokens } from '../installs/application-token.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { Portals } from '../portal/portal.ts'
import type { AbortState } from '../async/abort.ts'
import type { EventQueue } from '../storage/event-queue.ts'
import type { EventCounts as QueueCounts } from '../storage/event-store.ts'
import type { DeadEvent, DeadLetterStore } from '../storage/queued-event.ts'
import { DeadLetters, toDeadLetter } from './dead-letters.ts'
import type { DeliverySettings } from './delivery-options.ts'
import { Dispatcher } from './dispatch.ts'
import { payloadOf } from './inbound-event.ts'
import { type EventCounts, newEventCounts } from './receive-outcome.ts'
import { Verifier } from './verify.ts'
import type { HandlerContext } from './run-handler.ts'
import { InlineProcessor, Processor } from './process.ts'
import { Lifecycle } from './lifecycle/install-and-uninstall.ts'
import type { LifecycleHookRegistry } from './lifecycle-hooks.ts'
import { InstallVerifier } from './lifecycle/install-verifier.ts'
import { LifecycleProcessor } from './lifecycle/process-lifecycle-event.ts'
import { InstallFromPage } from './install-from-page.ts'
import type { PairCheck } from './lifecycle/pair-check.ts'
import { QueueIntake, Receiver, type Intake } from './receive.ts'
import { QuotaReports, Rejections } from './rejections.ts'
import type { UnverifiedLimiter } from './unverified-limiter.ts'

/** The methods of the queue that delivery needs. */
export type DeliveryQueue = Pick<EventQueue, 'add' | 'work' | 'counts' | 'oldestWaitingAt' | 'deadLetters'>

export interface DeliveryParts {
  settings: DeliverySettings
  store: InstallStore
  webhooks: WebhookTokens
  portals: Portals
  handlers: HandlerRegistry<HandlerContext>
  lifecycleHooks: LifecycleHookRegistry
  encryptor: Encryptor
  pairs: PairCheck
  limiter: UnverifiedLimiter
  log: FastifyBaseLogger
  /** Aborts when the app begins to close. */
  closing: AbortState
  /** Enables the install page. */
  page?: boolean | undefined
  pendingInstalls: PendingInstalls
  /** Without a queue, events are handled before the response. */
  queue?: DeliveryQueue | undefined
}

/** The services between the routes and the handlers. */
export interface Delivery {
  receiver: Receiver
  /** Handles requests of the install page; `undefined` if it is disabled. */
  pages: InstallFromPage | undefined
  deadLetters: DeadLetters
  counts: EventCounts
  /** Returns the part of `health()` about delivery. */
  report (): { events: EventCounts, schemaMismatches: Record<string, number>, overQuota: Record<string, number> }
  queueCounts (): Promise<QueueCounts>
  oldestWaitingAt (): Promise<number | undefined>
  /** Starts handling stored events; no-op with `worker: false`. */
  start (): void
}

/** Minimum time between two warnings about evicted dead letters, ms. */
const EVICTION_WARNING_PAUSE_MS = 60_000
const NO_EVENTS: QueueCounts = { waiting: 0, active: 0, dead: 0 }
const NO_DEAD_LETTERS: DeadLetterStore = {
  list: async () => ({ items: [] }),
  get: async () => undefined,
  replay: async () => false,
  discard: async () => false
}

/** Creates the services of delivery. */
export function openDelivery (parts: DeliveryParts): Delivery {
  const { settings, store, webhooks, handlers, lifecycleHooks, queue } = parts
  const counts = newEventCounts()
  const quotas = new QuotaReports(lifecycleHooks, parts.log)
  const { handlerTimeoutMs } = settings
  // Without a queue there is no retry that could overlap an aborted run, and the sender waits for the response.
  const limits = { handlerTimeoutMs, graceMs: queue === undefined ? 0 : handlerTimeoutMs }
  const dispatcher = new Dispatcher({ handlers, lifecycle: lifecycleHooks, limits, retries: queue === undefined ? undefined : settings })
  const rejections = new Rejections(lifecycleHooks, counts)
  const verifier = new Verifier(webhooks, parts.portals)
  const installVerifier = new InstallVerifier(parts.pairs)
  const common = { ...parts, verifier, installVerifier, dispatcher, rejections, counts, lifecycle: new Lifecycle(store, installVerifier, parts.portals) }
  const intake: Intake = queue === undefined
    ? new InlineProcessor(common)
    : new QueueIntake({ ...common, queue, quotas, coalesce: settings.coalesce })
  return {
    receiver: new Receiver({ store, intake, installVerifier, rejections, counts }),
    pages: parts.page === true ? new InstallFromPage({ ...common, intake }) : undefined,
    deadLetters: new DeadLetters(queue?.deadLetters ?? NO_DEAD_LETTERS, store, webhooks, code => installVerifier.isLifecycleEvent(code)),
    counts,
    report: () => ({ events: { ...counts }, schemaMismatches: dispatcher.schemaMismatches, overQuota: quotas.list() }),
    oldestWaitingAt: async () => await queue?.oldestWaitingAt(),
    queueCounts: async () => await queue?.counts() ?? NO_EVENTS,
    start: () => { if (queue !== undefined && settings.worker) work(queue, common) }
  }
}

function work (queue: DeliveryQueue, common: DeliveryParts & WorkParts): void {
  const { settings, lifecycleHooks, counts, handlers, log } = common
  const processor = new Processor({ ...common, lifecycle: new LifecycleProcessor(common) })
  let evicted = 0
  let warnedAt = -Infinity
  queue.work(async run => await processor.process(run), {
    concurrency: settings.concurrency,
    listensTo: () => handlers.listensTo,
    onDead: (stored) => {
      const deadLetter = toDeadLetter(stored)
      counts.dead++
      log.error({ event: deadLetter.id, code: deadLetter.code, memberId: deadLetter.memberId, reason: deadLetter.error.message }, 'event failed, moved to dead letters')
      lifecycleHooks.notify('onDeadLetter', { deadLetter }, { log })
      abandonInstall(stored, common)
    },
    onEvicted: count => {
      evicted += count
      const now = performance.now()
      if (now - warnedAt < EVICTION_WARNING_PAUSE_MS) return
      warnedAt = now
      log.warn({ evicted, ...settings.deadLetters }, 'dead-letter limit reached, evicting the oldest')
    }
  })
}

/** Ends the pending install of an unverified event that died without a verdict: it would keep its slot, and what is quarantined for it would wait for a day. */
function abandonInstall ({ id, memberId, event }: DeadEvent, { installVerifier, pendingInstalls, log }: DeliveryParts & WorkParts): void {
  const { token } = payloadOf(event) ?? {}
  if (event?.group === undefined || token === undefined || !installVerifier.isLifecycleEvent(event.code)) return
  pendingInstalls.abandon({ memberId, token }, id).catch((error: unknown) => log.warn({ err: error, memberId }, 'failed to end a pending install'))
}

interface WorkParts {
  verifier: Verifier
  installVerifier: InstallVerifier
  dispatcher: Dispatcher
  rejections: Rejections
  counts: EventCounts
  lifecycle: Lifecycle
}
