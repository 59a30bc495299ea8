import type { FastifyBaseLogger } from 'fastify'
import { INSTALL_RETRY_MS, type PendingInstalls } from '../../storage/pending-installs.ts'
import type { StoredInstall } from '../../storage/install-store.ts'
import { warnOncePerCause } from '../../async/warn-once-per-cause.ts'
import type { Outcome, QueuedEvent, Run } from '../../storage/queued-event.ts'
import { bareError } from '../../storage/unavailable.ts'
import { type Dispatcher, passOf, outcomeOfErrors } from '../dispatch.ts'
import type { EventCounts } from '../receive-outcome.ts'
import type { Lifecycle, LifecycleProgress, LifecycleOutcome } from './install-and-uninstall.ts'
import { pendingInstallOf, type InboundEvent } from '../inbound-event.ts'
import type { Rejections } from '../rejections.ts'
import { ageBackoff } from '../../storage/backoff.ts'

export interface LifecycleProcessorParts {
  lifecycle: Lifecycle
  pendingInstalls: PendingInstalls
  dispatcher: Dispatcher
  rejections: Rejections
  counts: EventCounts
  log: FastifyBaseLogger
}

interface Progress extends LifecycleProgress {
  /** Ids of the hooks and handlers that have succeeded. */
  done?: string[]
}

/** Range of the delay before the next attempt to verify an install, ms. */
const MIN_DELAY_MS = 1_000
const MAX_DELAY_MS = 60_000
/** Codes of temporary errors: the install is retried for a day. */
const TEMPORARY = new Set([
  'FST_B24_OAUTH_UNAVAILABLE', 'FST_B24_APP_KEYS', 'FST_B24_INSTALL_BUSY', 'FST_B24_PORTAL_UNAVAILABLE', 'FST_B24_PORTAL_LIMIT', 'FST_B24_PORTAL_SUSPENDED'
])
/** Codes of errors that make an install a dead letter, since Bitrix24 sends it only once. It can be replayed once the cause is fixed. */
const PERMANENT = /^FST_B24_(INSTALL_LOST|REAUTH_REQUIRED|PRIVATE_ADDRESS|PORTAL_\w+)$/

/** Runs one attempt of a lifecycle event: verify it, apply it, run its hooks, then the handlers. */
export class LifecycleProcessor {
  readonly #parts: LifecycleProcessorParts
  readonly #warnUnavailable = warnOncePerCause(error => this.#parts.log.warn({ err: error }, 'install cannot be verified now, will be retried'), 2 * MAX_DELAY_MS)

  constructor (parts: LifecycleProcessorParts) {
    this.#parts = parts
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async run (run: Run, event: QueuedEvent, inbound: InboundEvent, stored: StoredInstall | undefined): Promise<Outcome> {
    const progress: Progress = { ...run.progress as Progress | undefined }
    const outcome = await this.#apply(run, event, inbound, stored, progress)
    if ('delayMs' in outcome || 'error' in outcome) return outcome
    await this.#parts.pendingInstalls.close(pendingInstallOf(inbound), event.id)
    if (outcome.status === 'rejected') this.#parts.rejections.drop(outcome.reason, inbound.envelope, this.#parts.log)
    if (outcome.status === 'stale') this.#parts.counts.stale++
    return outcome.status === 'accepted' ? await this.#dispatch(run, event, inbound, outcome, progress) : { status: 'done' }
  }

  async #apply (
    run: Run, event: QueuedEvent, inbound: InboundEvent, stored: StoredInstall | undefined, progress: Progress
  ): Promise<LifecycleOutcome | Outcome & { status: 'later' | 'dead' }> {
    try {
      return await this.#parts.lifecycle.apply(inbound, stored, progress, async (changes) => {
        Object.assign(progress, changes)
        await run.save(progress)
      })
    } catch (error) {
      return await this.#retryLater(error as Error & { code?: string }, event, inbound)
    }
  }

  async #retryLater (error: Error & { code?: string }, event: QueuedEvent, inbound: InboundEvent): Promise<Outcome & { status: 'later' | 'dead' }> {
    const { code = '' } = error
    const isTemporary = TEMPORARY.has(code)
    if (!isTemporary && !PERMANENT.test(code)) throw error
    if (code !== 'FST_B24_INSTALL_BUSY') this.#warnUnavailable(Object.assign(bareError(error), { portal: event.memberId }))
    const isRetried = isTemporary && Date.now() - event.receivedAt < INSTALL_RETRY_MS
    if (isRetried) return { status: 'later', delayMs: ageBackoff(event.receivedAt, MIN_DELAY_MS, MAX_DELAY_MS) }
    await this.#parts.pendingInstalls.abandon(pendingInstallOf(inbound), event.id)
    return { status: 'dead', error }
  }

  async #dispatch (
    run: Run, event: QueuedEvent, { envelope, facts }: InboundEvent, { portal, hookCalls }: LifecycleOutcome & { status: 'accepted' }, progress: Progress
  ): Promise<Outcome> {
    const { dispatcher, log, counts } = this.#parts
    const pass = passOf(run, event, portal, log, progress)
    const errors: Error[] = []
    for (const hookCall of hookCalls) errors.push(...await dispatcher.runHooks(hookCall, pass))
    if (facts === undefined) errors.push(...await dispatcher.dispatch(envelope, { ...pass, hasFailed: errors.length > 0 }))
    if (errors.length > 0) return outcomeOfErrors(errors, event.receivedAt)
    counts.handled++
    return { status: 'done' }
  }
}
