import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_FOREIGN_JOB, FST_B24_INSTALL_LOST, FST_B24_PORTAL_GONE, FST_B24_CLOSING, FST_B24_HANDLER_FAILED } from '../errors.ts'
import { INSTALL_PATIENCE_MS, type PendingInstalls, type PendingState } from '../storage/pending-installs.ts'
import { type InstallStore, InstallCache, type StoredInstall } from '../storage/install-store.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { Portal } from '../portal/portal.ts'
import { warnOncePerCause } from '../async/warn-once-per-cause.ts'
import type { Outcome, QueuedEvent, Run } from '../storage/queued-event.ts'
import { bareError } from '../storage/unavailable.ts'
import { type Dispatcher, passOf, outcomeOfErrors, combineErrors } from './dispatch.ts'
import type { EventCounts, RejectReason, Receipt } from './receipt.ts'
import type { Verifier } from './verify.ts'
import type { InstallVerifier } from './lifecycle/install-verifier.ts'
import type { LifecycleProcessor } from './lifecycle/process-lifecycle.ts'
import { pendingInstallOf, type InboundEvent, payloadOf, fromQueuedEvent, type QueuedPayload } from './inbound-event.ts'
import type { Rejections } from './rejections.ts'
import { ageBackoff } from '../storage/backoff.ts'
import type { AbortState } from '../async/abort.ts'
import type { Lifecycle } from './lifecycle/lifecycle.ts'
import type { Intake } from './receive.ts'

export interface ProcessorParts {
  store: InstallStore
  pendingInstalls: PendingInstalls
  encryptor: Encryptor
  verifier: Verifier
  installVerifier: InstallVerifier
  lifecycle: LifecycleProcessor
  dispatcher: Dispatcher
  rejections: Rejections
  counts: EventCounts
  log: FastifyBaseLogger
}

/** What is kept of an event between attempts. */
export interface HandlerProgress {
  /** Ids of the handlers that have succeeded. */
  done?: string[]
  /** It was kept while its install was being verified, and has been proved since. */
  verified?: true
}

type Failure = Error & { code?: string }

/** Waits of an event whose portal is being verified, ms: as long as it waits already, within these. */
const SHORTEST_QUARANTINE_MS = 250
const LONGEST_QUARANTINE_MS = 30_000
/** Waits before a store that is away is asked again, ms: as long as the event waits already, within these. */
const SHORTEST_AWAY_MS = 1_000
const LONGEST_AWAY_MS = 10_000
/** Codes of events without a handler that are remembered: any portal may send any. */
const MOST_CODES = 1_000

/** Takes one attempt from the queue to the handlers. */
export class Processor {
  readonly #parts: ProcessorParts
  readonly #recent: InstallCache
  readonly #unheardCodes = new Set<string>()
  /** Once for each cause, until it stays away for a while: a store may fail for one portal alone, and for ever. */
  readonly #warnUnavailable = warnOncePerCause(error => this.#parts.log.warn({ err: error }, 'store unavailable, events will be retried'))

  constructor (parts: ProcessorParts) {
    this.#parts = parts
    this.#recent = new InstallCache(parts.store)
  }

  /** The `Process` of the queue. Never rejects. */
  async process (run: Run): Promise<Outcome> {
    try {
      const payload = payloadOf(run.event)
      if (payload === undefined) return { status: 'dead', error: new FST_B24_FOREIGN_JOB() }
      const event = run.event as QueuedEvent
      return this.#count(await this.#handle(run, event, payload, fromQueuedEvent(event, payload, this.#parts.encryptor)), run)
    } catch (error) {
      return this.#count(this.#outcomeOf(error as Failure, run), run)
    }
  }

  #outcomeOf (error: Failure, { event }: Run): Outcome {
    if (error.code !== 'FST_B24_STORE_UNAVAILABLE') return { status: error.code === 'FST_B24_DECRYPTION_FAILED' ? 'dead' : 'failed', error }
    const { memberId, receivedAt } = event as QueuedEvent
    this.#warnUnavailable(Object.assign(bareError(error.cause ?? error), { portal: memberId }))
    return { status: 'later', delayMs: ageBackoff(receivedAt, SHORTEST_AWAY_MS, LONGEST_AWAY_MS) }
  }

  async #handle (run: Run, event: QueuedEvent, payload: QueuedPayload, inbound: InboundEvent): Promise<Outcome> {
    const { store, pendingInstalls, verifier, installVerifier, lifecycle } = this.#parts
    const { member_id: memberId } = inbound.envelope.auth
    // Asked before the install is read: a pending install is closed only after its install is written.
    const pending = payload.quarantined === true ? await pendingInstalls.stateOf(pendingInstallOf(inbound)) : 'closed'
    const isOrdinary = payload.quarantined !== true && !installVerifier.isLifecycleEvent(event.code)
    const stored = await (isOrdinary ? this.#recent : store).get(memberId)
    if (payload.quarantined === true) {
      const verification = verifier.verify(inbound, stored)
      if (verification.status === 'rejected') {
        const outcome = this.#handleUnverified(run, event, inbound, pending, verification.reason)
        if (outcome !== undefined) return outcome
      } else if (progressOf(run)?.verified !== true) {
        await run.save({ ...progressOf(run), verified: true } satisfies HandlerProgress)
      }
    }
    if (installVerifier.isLifecycleEvent(event.code)) return await lifecycle.run(run, event, inbound, stored)
    const portal = verifier.portalOf(inbound, stored) ?? verifier.portalOf(inbound, await store.get(memberId))
    return portal === undefined ? { status: 'dead', error: new FST_B24_PORTAL_GONE() } : await this.#dispatch(run, event, inbound, portal)
  }

  /** What becomes of an event that was kept, and that nothing proves now; `undefined` when it is to be handled all the same. */
  #handleUnverified (run: Run, { code, receivedAt }: QueuedEvent, inbound: InboundEvent, pending: PendingState, reason: RejectReason): Outcome | undefined {
    // The token may have changed since; what was proved once is as good as what was proved before the answer.
    if (progressOf(run)?.verified === true) return reason === 'wrong_token' || this.#parts.installVerifier.isLifecycleEvent(code) ? undefined : { status: 'dead', error: new FST_B24_PORTAL_GONE() }
    if (pending === 'open') return { status: 'later', delayMs: ageBackoff(receivedAt, SHORTEST_QUARANTINE_MS, LONGEST_QUARANTINE_MS) }
    // Of an install that is forgotten nobody knows whether it was refused.
    if (pending === 'abandoned' || Date.now() - receivedAt >= INSTALL_PATIENCE_MS) return { status: 'dead', error: new FST_B24_INSTALL_LOST('this event was kept for it') }
    this.#parts.rejections.drop(reason, inbound.envelope, this.#parts.log)
    return { status: 'done' }
  }

  async #dispatch (run: Run, event: QueuedEvent, { envelope }: InboundEvent, portal: Portal): Promise<Outcome> {
    const { dispatcher, log, counts } = this.#parts
    if (!dispatcher.listensTo(event.code)) return this.#unheard(event)
    const errors = await dispatcher.dispatch(envelope, passOf(run, event, portal, log, progressOf(run)))
    if (errors.length > 0) return outcomeOfErrors(errors, event.receivedAt)
    counts.handled++
    return { status: 'done' }
  }

  /** No live worker has a handler for it. */
  #unheard ({ code, memberId }: QueuedEvent): Outcome {
    const { log, counts } = this.#parts
    counts.unheard++
    if (!this.#unheardCodes.has(code) && this.#unheardCodes.size < MOST_CODES) {
      this.#unheardCodes.add(code)
      log.warn({ code, memberId }, 'no handler listens to this event, it is dropped; logged once for each event name')
    }
    return { status: 'done' }
  }

  /** An attempt that was interrupted is none. */
  #count (outcome: Outcome, { isAborted }: Run): Outcome {
    if (outcome.status === 'failed' && !isAborted) this.#parts.counts.failedAttempts++
    return outcome
  }
}

function progressOf ({ progress }: Run): HandlerProgress | undefined {
  return progress as HandlerProgress | undefined
}

export interface InlineProcessorParts {
  verifier: Verifier
  installVerifier: InstallVerifier
  lifecycle: Lifecycle
  dispatcher: Dispatcher
  counts: EventCounts
  /** Aborts when the app closes. */
  closing: AbortState
}

/** Runs the handlers before the answer (`delivery.mode: 'inline'`): for hosts where nothing goes on after it. */
export class InlineProcessor implements Intake {
  readonly #parts: InlineProcessorParts

  constructor (parts: InlineProcessorParts) {
    this.#parts = parts
  }

  /**
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY: nothing was stored
   * @throws FST_B24_CLOSING: the app closed before every handler had run
   * @throws FST_B24_HANDLER_FAILED: its cause is the error of the handler, or an `AggregateError` of several
   */
  async take (inbound: InboundEvent, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Receipt> {
    const { verifier, installVerifier, lifecycle, dispatcher, closing, counts } = this.#parts
    const isLifecycle = installVerifier.isLifecycleEvent(inbound.envelope.event.toUpperCase())
    const judged = isLifecycle ? await lifecycle.apply(inbound, stored) : verifier.verify(inbound, stored)
    if (judged.status === 'rejected' || judged.status === 'stale') return judged
    const pass = { portal: judged.portal, log, run: closing }
    const errors: Error[] = []
    for (const hookCall of judged.status === 'accepted' ? judged.hookCalls : []) errors.push(...await dispatcher.runHooks(hookCall, pass))
    if (inbound.facts === undefined) errors.push(...await dispatcher.dispatch(inbound.envelope, pass))
    const interrupted = errors.find(error => error instanceof FST_B24_CLOSING)
    if (interrupted !== undefined) throw interrupted
    if (errors.length > 0) throw new FST_B24_HANDLER_FAILED({ cause: combineErrors(errors) })
    counts.handled++
    return { status: 'accepted', portal: judged.portal }
  }
}
