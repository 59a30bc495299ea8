import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_ANSWER_TOO_LARGE, FST_B24_CLOSING, FST_B24_GIVE_UP, FST_B24_HANDLER_TIMEOUT, FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE } from '../errors.ts'
import { type Bitrix24Event, createEvent, type EventMetadata } from '../events/event.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { RegisteredHandler } from '../events/registration.ts'
import type { Portal } from '../portal/portal.ts'
import type { PortalLimitError } from '../portal/rest/call-error.ts'
import type { Outcome, QueuedEvent, Run } from '../storage/queued-event.ts'
import { maxBackoffOf } from '../storage/backoff.ts'
import type { AbortState } from '../async/abort.ts'
import type { Envelope } from '../wire/envelope.ts'
import type { DeliverySettings } from './delivery-options.ts'
import { type HandlerContext, HandlerRunContext, runHandler, type RunLimits } from './run-handler.ts'
import type { HookCall, LifecycleHookRegistry } from './lifecycle-hooks.ts'

export interface DispatcherParts {
  handlers: HandlerRegistry<HandlerContext>
  lifecycle: LifecycleHookRegistry
  limits: RunLimits
  /** Retry settings; `undefined` if failures are not retried. */
  retries?: RetryPlan | undefined
}

export type RetryPlan = Pick<DeliverySettings, 'attempts' | 'backoffMs'>

/** One pass over the handlers of an event. */
export interface Pass {
  portal: Portal
  log: FastifyBaseLogger
  facts?: EventMetadata
  /** Ids of handlers that have already succeeded and are skipped. */
  done?: Iterable<string>
  /** Called and awaited for each handler that succeeds while another is pending or has failed. */
  onSucceeded?: (id: string) => Promise<void>
  /** A hook of this event has failed. */
  hasFailed?: boolean
  /** Aborts the pass: signals of running handlers are aborted, the others do not start. */
  run?: AbortState
}

/** Creates the pass over a queued event, which saves succeeded handlers with the progress of its run. */
export function passOf (run: Run, { id, receivedAt }: QueuedEvent, portal: Portal, log: FastifyBaseLogger, progress: { done?: string[] } = {}): Pass {
  const done = [...progress.done ?? []]
  return {
    portal,
    log,
    done,
    facts: { id, receivedAt, attempt: run.attempt, coalesced: run.coalesced },
    run,
    onSucceeded: async (handler) => {
      done.push(handler)
      await run.save({ ...progress, done })
    }
  }
}

/** Runs handlers and hooks sequentially. A failed one does not stop the others. */
export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #schemaMismatches = new Map<string, number>()

  constructor (parts: DispatcherParts) {
    this.#parts = parts
  }

  /** Number of fields that did not match their documented type, by event, counted for events with handlers. */
  get schemaMismatches (): Record<string, number> {
    return Object.fromEntries(this.#schemaMismatches)
  }

  /** Returns whether an event with this code has handlers. */
  listensTo (code: string): boolean {
    return this.#parts.handlers.match(code).length > 0
  }

  /** Runs the handlers of an event. Resolves with the errors of those that failed or did not start because of an abort. */
  async dispatch (envelope: Envelope, pass: Pass): Promise<Error[]> {
    const errors: Error[] = []
    const registrations = this.#parts.handlers.match(envelope.event)
    if (registrations.length === 0) return errors
    const { event, mismatches } = createEvent(envelope, pass.facts)
    if (mismatches > 0) this.#schemaMismatches.set(event.name, (this.#schemaMismatches.get(event.name) ?? 0) + mismatches)
    const done = new Set(pass.done)
    const due = registrations.filter(registration => !done.has(registration.id) && registration.accepts(event))
    for (const [index, registration] of due.entries()) {
      if (isOver(pass)) return [...errors, new FST_B24_CLOSING()]
      const error = await this.#handle(registration, event, pass)
      if (error !== undefined) errors.push(error)
      else if (index < due.length - 1 || errors.length > 0 || pass.hasFailed === true) await pass.onSucceeded?.(registration.id)
    }
    return errors
  }

  /** Runs the lifecycle hooks of one name. Resolves with the errors of those that failed or did not start. */
  async runHooks ({ hook: name, fact }: HookCall, pass: Pass): Promise<Error[]> {
    const { portal, log, done, onSucceeded, run } = pass
    const errors: Error[] = []
    const isDone = new Set(done)
    for (const { id, hook } of this.#parts.lifecycle.get(name)) {
      if (isDone.has(id)) continue
      if (isOver(pass)) return [...errors, new FST_B24_CLOSING()]
      const context = new HandlerRunContext(portal, log, { hook: name, portal: portal.domain }, run)
      const error = await this.#run(() => hook({ portal, ...fact } as never, context), context)
      if (error === undefined) {
        await onSucceeded?.(id)
        continue
      }
      errors.push(error)
      context.log.error({ err: error, ...this.#retryInfo(pass, error) }, 'lifecycle hook failed')
      this.#parts.lifecycle.notify('onHandlerError', { error, portal, hook: name }, { log: context.log })
    }
    return errors
  }

  async #handle (registration: RegisteredHandler<HandlerContext>, event: Bitrix24Event, pass: Pass): Promise<Error | undefined> {
    const { portal, log, run } = pass
    const context = new HandlerRunContext(portal, log, { event: event.id, code: event.code, portal: portal.domain }, run)
    const error = await this.#run(() => registration.handler(event, context), context)
    if (error !== undefined) {
      context.log.error({ err: error, ...this.#retryInfo(pass, error) }, 'handler failed')
      this.#parts.lifecycle.notify('onHandlerError', { error, event, portal }, { log: context.log })
    }
    return error
  }

  /** Returns log fields about the next attempt. Errors of portal limits have their own retry time. */
  #retryInfo ({ facts, run }: Pass, error: Error): Record<string, number> {
    const { attempt = 1 } = facts ?? {}
    const { retries } = this.#parts
    if (retries === undefined) return { attempt }
    const { attempts, backoffMs } = retries
    const isLast = attempt >= attempts || isLimit(error) || isPermanent(error) || run?.isAborted === true
    return { attempt, attempts, ...(!isLast && { retryWithinMs: maxBackoffOf(attempt, backoffMs) }) }
  }

  async #run (call: () => unknown, context: HandlerRunContext): Promise<Error | undefined> {
    const error = await runHandler(call, this.#parts.limits, error => context.abort(error))
    context.end()
    return error
  }
}

/** Returns whether no further handler may start. A handler that did not start has not failed, so it is not reported. */
function isOver ({ run }: Pass): boolean {
  return run?.isAborted === true
}

/** How long an event waits for a portal that rejects calls, ms. */
const MAX_LIMIT_WAIT_MS = 24 * 60 * 60 * 1000
const MIN_LIMIT_DELAY_MS = 1_000
/** Error codes of calls that a portal will never accept, in lower case. */
const PERMANENT_CODES: readonly string[] = ['error_method_not_found', 'insufficient_scope', 'bitrix_rest_v3_exception_methodnotfoundexception']

/** Returns the only error, or an `AggregateError` with all messages. */
export function combineErrors (errors: readonly Error[]): Error {
  const [first] = errors
  if (errors.length === 1) return first as Error
  return new AggregateError(errors, `${errors.length} handlers failed: ${errors.map(({ message }) => message).join('; ')}`)
}

/**
 * Returns the outcome of an event whose handlers failed with these errors. If all errors are permanent, the event becomes a dead letter
 * immediately; otherwise it is retried with all failed handlers. If the others are all limits of a portal, the event waits as long as the
 * portal demands, without counting an attempt, for a day at most; after that it counts as a failure.
 */
export function outcomeOfErrors (errors: readonly Error[], receivedAt: number): Outcome {
  const temporary = errors.filter(error => !isPermanent(error))
  if (temporary.length === 0) return { status: 'dead', error: combineErrors(errors) }
  const maxDelayMs = receivedAt + MAX_LIMIT_WAIT_MS - Date.now()
  if (temporary.every(isLimit) && maxDelayMs > 0) {
    const delayMs = Math.max(...temporary.map(({ retryAfterMs }) => retryAfterMs), MIN_LIMIT_DELAY_MS)
    // Jitter: events that resume together would exceed the limit again.
    return { status: 'later', delayMs: Math.round(Math.min(delayMs * (1 + Math.random()), maxDelayMs)) }
  }
  return { status: 'failed', error: combineErrors(errors), hung: errors.some(hasHung) }
}

function hasHung (error: Error): boolean {
  return error instanceof FST_B24_HANDLER_TIMEOUT || error instanceof FST_B24_PORTAL_UNAVAILABLE
}

/** Returns whether retrying is pointless, according to the handler or the portal. */
export function isPermanent (error: Error): boolean {
  if (error instanceof FST_B24_GIVE_UP || error instanceof FST_B24_ANSWER_TOO_LARGE) return true
  return error instanceof FST_B24_PORTAL_CALL && PERMANENT_CODES.includes(error.portalCode.toLowerCase())
}

export function isLimit (error: Error): error is PortalLimitError {
  return error instanceof FST_B24_PORTAL_LIMIT
}
