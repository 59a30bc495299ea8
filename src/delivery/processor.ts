import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_FOREIGN_JOB, FST_B24_INSTALL_LOST, FST_B24_PORTAL_GONE } from '../errors.ts'
import { INSTALL_PATIENCE_MS, type PendingInstalls, type PendingState } from '../storage/pending-installs.ts'
import type { InstallStore } from '../storage/install-store.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { Portal } from '../portal/portal.ts'
import { warnOncePerCause } from '../async/warn-once-per-cause.ts'
import type { Outcome, QueuedEvent, Run } from '../storage/queued-event.ts'
import { bareError } from '../storage/unavailable.ts'
import { type Dispatcher, passOf, outcomeOfErrors } from './handlers/dispatcher.ts'
import type { EventCounts, RejectReason } from './receipt.ts'
import type { Gate } from './intake/gate.ts'
import type { LifecycleProof } from './lifecycle/lifecycle-proof.ts'
import type { LifecycleRun } from './lifecycle/lifecycle-run.ts'
import { pendingInstallOf, type Post } from './post.ts'
import { payloadOf, unstow, type QueuedPayload } from './queued-post.ts'
import { RecentInstalls } from './lifecycle/recent-installs.ts'
import type { Rejections } from './rejections.ts'
import { waitByAge } from './wait-by-age.ts'

export interface ProcessorParts {
  store: InstallStore
  pendingInstalls: PendingInstalls
  encryptor: Encryptor
  gate: Gate
  proof: LifecycleProof
  lifecycle: LifecycleRun
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
  proved?: true
}

type Failure = Error & { code?: string }

/** Waits of an event whose portal is being verified, ms: as long as it waits already, within these. */
const SHORTEST_HOLD_MS = 250
const LONGEST_HOLD_MS = 30_000
/** Waits before a store that is away is asked again, ms: as long as the event waits already, within these. */
const SHORTEST_AWAY_MS = 1_000
const LONGEST_AWAY_MS = 10_000
/** Codes of events without a handler that are remembered: any portal may send any. */
const MOST_CODES = 1_000

/** Takes one attempt from the queue to the handlers. */
export class Processor {
  readonly #parts: ProcessorParts
  readonly #recent: RecentInstalls
  readonly #unheardCodes = new Set<string>()
  /** Once for each cause, until it stays away for a while: a store may fail for one portal alone, and for ever. */
  readonly #warnUnavailable = warnOncePerCause(error => this.#parts.log.warn({ err: error }, 'store unavailable, events will be retried'))

  constructor (parts: ProcessorParts) {
    this.#parts = parts
    this.#recent = new RecentInstalls(parts.store)
  }

  /** The `Process` of the queue. Never rejects. */
  async process (run: Run): Promise<Outcome> {
    try {
      const payload = payloadOf(run.event)
      if (payload === undefined) return { status: 'dead', error: new FST_B24_FOREIGN_JOB() }
      const event = run.event as QueuedEvent
      return this.#count(await this.#handle(run, event, payload, unstow(event, payload, this.#parts.encryptor)), run)
    } catch (error) {
      return this.#count(this.#outcomeOf(error as Failure, run), run)
    }
  }

  #outcomeOf (error: Failure, { event }: Run): Outcome {
    if (error.code !== 'FST_B24_STORE_UNAVAILABLE') return { status: error.code === 'FST_B24_DECRYPTION_FAILED' ? 'dead' : 'failed', error }
    const { memberId, receivedAt } = event as QueuedEvent
    this.#warnUnavailable(Object.assign(bareError(error.cause ?? error), { portal: memberId }))
    return { status: 'later', delayMs: waitByAge(receivedAt, SHORTEST_AWAY_MS, LONGEST_AWAY_MS) }
  }

  async #handle (run: Run, event: QueuedEvent, payload: QueuedPayload, post: Post): Promise<Outcome> {
    const { store, pendingInstalls, gate, proof, lifecycle } = this.#parts
    const { member_id: memberId } = post.envelope.auth
    // Asked before the install is read: a pending install is closed only after its install is written.
    const pending = payload.held === true ? await pendingInstalls.stateOf(pendingInstallOf(post)) : 'closed'
    const isOrdinary = payload.held !== true && !proof.knows(event.code)
    const stored = await (isOrdinary ? this.#recent : store).get(memberId)
    if (payload.held === true) {
      const proved = gate.prove(post, stored)
      if (proved.status === 'rejected') {
        const outcome = this.#judge(run, event, post, pending, proved.reason)
        if (outcome !== undefined) return outcome
      } else if (progressOf(run)?.proved !== true) {
        await run.save({ ...progressOf(run), proved: true } satisfies HandlerProgress)
      }
    }
    if (proof.knows(event.code)) return await lifecycle.run(run, event, post, stored)
    const portal = gate.portalOf(post, stored) ?? gate.portalOf(post, await store.get(memberId))
    return portal === undefined ? { status: 'dead', error: new FST_B24_PORTAL_GONE() } : await this.#dispatch(run, event, post, portal)
  }

  /** What becomes of an event that was kept, and that nothing proves now; `undefined` when it is to be handled all the same. */
  #judge (run: Run, { code, receivedAt }: QueuedEvent, post: Post, pending: PendingState, reason: RejectReason): Outcome | undefined {
    // The token may have changed since; what was proved once is as good as what was proved before the answer.
    if (progressOf(run)?.proved === true) return reason === 'wrong_token' || this.#parts.proof.knows(code) ? undefined : { status: 'dead', error: new FST_B24_PORTAL_GONE() }
    if (pending === 'open') return { status: 'later', delayMs: waitByAge(receivedAt, SHORTEST_HOLD_MS, LONGEST_HOLD_MS) }
    // Of an install that is forgotten nobody knows whether it was refused.
    if (pending === 'abandoned' || Date.now() - receivedAt >= INSTALL_PATIENCE_MS) return { status: 'dead', error: new FST_B24_INSTALL_LOST('this event was kept for it') }
    this.#parts.rejections.drop(reason, post.envelope, this.#parts.log)
    return { status: 'done' }
  }

  async #dispatch (run: Run, event: QueuedEvent, { envelope }: Post, portal: Portal): Promise<Outcome> {
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
