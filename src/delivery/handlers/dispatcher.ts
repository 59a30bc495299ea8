import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_ANSWER_TOO_LARGE, FST_B24_CLOSING, FST_B24_GIVE_UP, FST_B24_HANDLER_TIMEOUT, FST_B24_PORTAL_CALL, FST_B24_PORTAL_LIMIT, FST_B24_PORTAL_UNAVAILABLE } from '../../errors.ts'
import { type Bitrix24Event, createEvent, type EventMetadata } from '../../events/event.ts'
import type { HandlerRegistry } from '../../events/handlers.ts'
import type { RegisteredHandler } from '../../events/registration.ts'
import type { Portal } from '../../portal/portal.ts'
import type { PortalLimitError } from '../../portal/rest/call-error.ts'
import type { Outcome, QueuedEvent, Run } from '../../storage/queued-event.ts'
import { longestBackoffOf } from '../../storage/backoff.ts'
import type { AbortState } from '../../async/abort.ts'
import type { Envelope } from '../../wire/envelope.ts'
import type { DeliverySettings } from '../delivery-options.ts'
import { type HandlerContext, HandlerRunContext, runHandler, type RunLimits } from './run-handler.ts'
import type { HookCall, LifecycleHookRegistry } from './lifecycle-hooks.ts'

export interface DispatcherParts {
  hooks: HandlerRegistry<HandlerContext>
  lifecycle: LifecycleHookRegistry
  limits: RunLimits
  /** How what failed is tried again; `undefined` where it is not. */
  retries?: RetryPlan | undefined
}

export type RetryPlan = Pick<DeliverySettings, 'attempts' | 'backoffMs'>

/** One pass over the handlers of an event. */
export interface Pass {
  portal: Portal
  log: FastifyBaseLogger
  facts?: EventMetadata
  /** Ids of handlers that have succeeded already, and are not to run again. */
  done?: Iterable<string>
  /** Told of each handler that succeeds while another is still to come, or has failed; awaited. */
  onSucceeded?: (id: string) => Promise<void>
  /** Something of this event has failed before. */
  hasFailed?: boolean
  /** Ends the pass: what runs has its signal aborted, the rest is not run. */
  run?: AbortState
}

/** The pass over a queued event: what succeeds is kept with the progress of its run, and not run at the next attempt. */
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

/** Runs handlers and hooks, one after another; one that fails does not keep the others from theirs. */
export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #schemaMismatches = new Map<string, number>()

  constructor (parts: DispatcherParts) {
    this.#parts = parts
  }

  /** How many fields did not fit their documented type, by event; counted where an event has handlers. */
  get schemaMismatches (): Record<string, number> {
    return Object.fromEntries(this.#schemaMismatches)
  }

  /** Returns whether any handler may want an event of this code. */
  listensTo (code: string): boolean {
    return this.#parts.hooks.match(code).length > 0
  }

  /** Hands an event to its handlers; resolves with the errors of those that failed, or were not run because of the signal. */
  async dispatch (envelope: Envelope, pass: Pass): Promise<Error[]> {
    const errors: Error[] = []
    const registrations = this.#parts.hooks.match(envelope.event)
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

  /** Runs the lifecycle hooks of one name; resolves with the errors of those that failed, or were not run. */
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
      context.log.error({ err: error, ...this.#outlook(pass, error) }, 'lifecycle hook failed')
      this.#parts.lifecycle.notify('onHandlerError', { error, portal, hook: name }, { log: context.log })
    }
    return errors
  }

  async #handle (registration: RegisteredHandler<HandlerContext>, event: Bitrix24Event, pass: Pass): Promise<Error | undefined> {
    const { portal, log, run } = pass
    const context = new HandlerRunContext(portal, log, { event: event.id, code: event.code, portal: portal.domain }, run)
    const error = await this.#run(() => registration.handler(event, context), context)
    if (error !== undefined) {
      context.log.error({ err: error, ...this.#outlook(pass, error) }, 'handler failed')
      this.#parts.lifecycle.notify('onHandlerError', { error, event, portal }, { log: context.log })
    }
    return error
  }

  /** What comes after a failure. A portal that takes no more calls says itself, on its error, when it does. */
  #outlook ({ facts, run }: Pass, error: Error): Record<string, number> {
    const { attempt = 1 } = facts ?? {}
    const { retries } = this.#parts
    if (retries === undefined) return { attempt }
    const { attempts, backoffMs } = retries
    const isLast = attempt >= attempts || isLimit(error) || isPermanent(error) || run?.isAborted === true
    return { attempt, attempts, ...(!isLast && { retryWithinMs: longestBackoffOf(attempt, backoffMs) }) }
  }

  async #run (call: () => unknown, context: HandlerRunContext): Promise<Error | undefined> {
    const error = await runHandler(call, this.#parts.limits, error => context.abort(error))
    context.end()
    return error
  }
}

/** What has not begun then is not to begin: it did not fail, and nobody is told of it. */
function isOver ({ run }: Pass): boolean {
  return run?.isAborted === true
}

/** How long an event waits for a portal that takes no more calls, ms. */
const LIMIT_PATIENCE_MS = 24 * 60 * 60 * 1000
const SHORTEST_LIMIT_MS = 1_000
/** What a portal says of calls that it will never take, in small letters. */
const NEVER: readonly string[] = ['error_method_not_found', 'insufficient_scope', 'bitrix_rest_v3_exception_methodnotfoundexception']

/** One error for all that failed: the only one, or an `AggregateError` whose message names each. */
export function combineErrors (errors: readonly Error[]): Error {
  const [first] = errors
  if (errors.length === 1) return first as Error
  return new AggregateError(errors, `${errors.length} handlers failed: ${errors.map(({ message }) => message).join('; ')}`)
}

/**
 * What becomes of an event whose handlers failed so. Where none of them can ever succeed, it is a dead letter at once: one that may succeed at
 * another attempt is waited for, and those that gave up run again beside it. Where all others wait for a portal that takes no more calls
 * now, the event waits for as long as the portal says, and that is no attempt; for a day at most, then it counts like any other failure.
 */
export function outcomeOfErrors (errors: readonly Error[], receivedAt: number): Outcome {
  const passing = errors.filter(error => !isPermanent(error))
  if (passing.length === 0) return { status: 'dead', error: combineErrors(errors) }
  const patienceMs = receivedAt + LIMIT_PATIENCE_MS - Date.now()
  if (passing.every(isLimit) && patienceMs > 0) {
    const delayMs = Math.max(...passing.map(({ retryAfterMs }) => retryAfterMs), SHORTEST_LIMIT_MS)
    // Not all of them at once: it would be full again.
    return { status: 'later', delayMs: Math.round(Math.min(delayMs * (1 + Math.random()), patienceMs)) }
  }
  return { status: 'failed', error: combineErrors(errors), hung: errors.some(hasHung) }
}

function hasHung (error: Error): boolean {
  return error instanceof FST_B24_HANDLER_TIMEOUT || error instanceof FST_B24_PORTAL_UNAVAILABLE
}

/** Returns whether no other attempt can end differently: the handler says so, or the portal does. */
export function isPermanent (error: Error): boolean {
  if (error instanceof FST_B24_GIVE_UP || error instanceof FST_B24_ANSWER_TOO_LARGE) return true
  return error instanceof FST_B24_PORTAL_CALL && NEVER.includes(error.portalCode.toLowerCase())
}

export function isLimit (error: Error): error is PortalLimitError {
  return error instanceof FST_B24_PORTAL_LIMIT
}
