import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_FOREIGN_JOB, FST_B24_INSTALL_LOST, FST_B24_PORTAL_GONE, FST_B24_CLOSING, FST_B24_HANDLER_FAILED } from '../errors.ts'
import { INSTALL_RETRY_MS, type PendingInstalls, type PendingState } from '../storage/pending-installs.ts'
import { type InstallStore, InstallCache, type StoredInstall } from '../storage/install-store.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { Portal } from '../portal/portal.ts'
import { warnOncePerCause } from '../async/warn-once-per-cause.ts'
import type { Outcome, QueuedEvent, Run } from '../storage/queued-event.ts'
import { bareError } from '../storage/unavailable.ts'
import { type Dispatcher, passOf, outcomeOfErrors, combineErrors } from './dispatch.ts'
import type { EventCounts, RejectReason, Receipt } from './receive-outcome.ts'
import type { Verifier } from './verify.ts'
import type { InstallVerifier } from './lifecycle/install-verifier.ts'
import type { LifecycleProcessor } from './lifecycle/process-lifecycle-event.ts'
import { pendingInstallOf, type InboundEvent, payloadOf, fromQueuedEvent, type QueuedPayload } from './inbound-event.ts'
import type { Rejections } from './rejections.ts'
import { ageBackoff } from '../storage/backoff.ts'
import type { AbortState } from '../async/abort.ts'
import type { Lifecycle } from './lifecycle/install-and-uninstall.ts'
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

/** Progress of an event, stored between attempts. */
export interface HandlerProgress {
  /** Ids of the handlers that have succeeded. */
  done?: string[]
  /** The event was quarantined, and has been verified since. */
  verified?: true
}

type Failure = Error & { code?: string }

/** Range of the delay of a quarantined event, ms. */
const MIN_QUARANTINE_DELAY_MS = 250
const MAX_QUARANTINE_DELAY_MS = 30_000
/** Range of the delay while the store is unavailable, ms. */
const MIN_OUTAGE_DELAY_MS = 1_000
const MAX_OUTAGE_DELAY_MS = 10_000
/** Bounds the memory for codes of events without a handler, since a portal may send any code. */
const MAX_UNHEARD_CODES = 1_000

/** Handles queued events: verifies what is still unverified, then runs the handlers. */
export class Processor {
  readonly #parts: ProcessorParts
  readonly #installs: InstallCache
  readonly #unheardCodes = new Set<string>()
  /** Logs once per cause, because a store may fail permanently for a single portal. */
  readonly #warnUnavailable = warnOncePerCause(error => this.#parts.log.warn({ err: error }, 'store unavailable, events will be retried'))

  constructor (parts: ProcessorParts) {
    this.#parts = parts
    this.#installs = new InstallCache(parts.store)
  }

  /** Runs one attempt of a queued event. Never rejects. */
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
    return { status: 'later', delayMs: ageBackoff(receivedAt, MIN_OUTAGE_DELAY_MS, MAX_OUTAGE_DELAY_MS) }
  }

  async #handle (run: Run, event: QueuedEvent, payload: QueuedPayload, inbound: InboundEvent): Promise<Outcome> {
    const { store, pendingInstalls, verifier, installVerifier, lifecycle } = this.#parts
    const { member_id: memberId } = inbound.envelope.auth
    // Read before the install: a pending install is closed only after the install is written.
    const pending = payload.quarantined === true ? await pendingInstalls.stateOf(pendingInstallOf(inbound)) : 'closed'
    const isOrdinary = payload.quarantined !== true && !installVerifier.isLifecycleEvent(event.code)
    const stored = await (isOrdinary ? this.#installs : store).get(memberId)
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

  /** Returns the outcome of a quarantined event that is unverified; `undefined` if it must be handled anyway. */
  #handleUnverified (run: Run, { code, receivedAt }: QueuedEvent, inbound: InboundEvent, pending: PendingState, reason: RejectReason): Outcome | undefined {
    // Verified in an earlier attempt. The token may have changed since.
    if (progressOf(run)?.verified === true) return reason === 'wrong_token' || this.#parts.installVerifier.isLifecycleEvent(code) ? undefined : { status: 'dead', error: new FST_B24_PORTAL_GONE() }
    if (pending === 'open') return { status: 'later', delayMs: ageBackoff(receivedAt, MIN_QUARANTINE_DELAY_MS, MAX_QUARANTINE_DELAY_MS) }
    // Whether the install was genuine is unknown.
    if (pending === 'abandoned' || Date.now() - receivedAt >= INSTALL_RETRY_MS) return { status: 'dead', error: new FST_B24_INSTALL_LOST('this event was quarantined until its verification') }
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

  /** Drops an event that no live worker has a handler for. */
  #unheard ({ code, memberId }: QueuedEvent): Outcome {
    const { log, counts } = this.#parts
    counts.unheard++
    if (!this.#unheardCodes.has(code) && this.#unheardCodes.size < MAX_UNHEARD_CODES) {
      this.#unheardCodes.add(code)
      log.warn({ code, memberId }, 'no handler listens to this event, it is dropped; logged once for each event name')
    }
    return { status: 'done' }
  }

  /** Counts failed attempts. An interrupted attempt does not count. */
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

/** Handles events before the response (`delivery.mode: 'inline'`), for hosts that stop the process after it. */
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
    const isLifecycle = installVerifier.isLifecycleEvent(inbound.envelope.event)
    const verification = isLifecycle ? await lifecycle.apply(inbound, stored) : verifier.verify(inbound, stored)
    if (verification.status === 'rejected' || verification.status === 'stale') return verification
    const pass = { portal: verification.portal, log, run: closing }
    const errors: Error[] = []
    for (const hookCall of verification.status === 'accepted' ? verification.hookCalls : []) errors.push(...await dispatcher.runHooks(hookCall, pass))
    if (inbound.facts === undefined) errors.push(...await dispatcher.dispatch(inbound.envelope, pass))
    const interrupted = errors.find(error => error instanceof FST_B24_CLOSING)
    if (interrupted !== undefined) throw interrupted
    if (errors.length > 0) throw new FST_B24_HANDLER_FAILED({ cause: combineErrors(errors) })
    counts.handled++
    return { status: 'accepted', portal: verification.portal }
  }
}
