import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_CLOSING } from '../errors.ts'
import { createEvent, type Bitrix24Event } from '../events/event.ts'
import type { EventHooks, Registration } from '../events/hooks.ts'
import type { Portal } from '../portal/portal.ts'
import type { Envelope } from '../wire/envelope.ts'
import { HandlerRunContext, type HandlerContext } from './handler-context.ts'
import { runHandler } from './handler-run.ts'
import type { LifecycleHookList } from './lifecycle-hooks.ts'
import type { Announcement } from './receipt.ts'

export interface DispatcherParts {
  hooks: EventHooks<HandlerContext>
  lifecycle: LifecycleHookList
  handlerTimeoutMs: number
}

/** Runs handlers and hooks, one after another; one that fails does not keep the others from theirs. */
export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #running = new Set<HandlerRunContext>()
  readonly #misfits = new Map<string, number>()
  #closed = false

  constructor (parts: DispatcherParts) {
    this.#parts = parts
  }

  /** How many fields did not fit their documented type, by event; counted where an event has handlers. */
  get misfits (): Record<string, number> {
    return Object.fromEntries(this.#misfits)
  }

  /** Hands an event to its handlers; resolves with the errors of those that failed, or were not run because the app closes. */
  async dispatch (envelope: Envelope, portal: Portal, log: FastifyBaseLogger): Promise<Error[]> {
    const errors: Error[] = []
    const registrations = this.#parts.hooks.match(envelope.event)
    if (registrations.length === 0) return errors
    const { event, misfits } = createEvent(envelope)
    if (misfits > 0) this.#misfits.set(event.name, (this.#misfits.get(event.name) ?? 0) + misfits)
    for (const registration of registrations) {
      const error = registration.accepts(event) ? await this.#handle(registration, event, portal, log) : undefined
      if (error !== undefined) errors.push(error)
    }
    return errors
  }

  /** Runs the lifecycle hooks of one name; resolves with the errors of those that failed, or were not run. */
  async announce ({ hook: name, fact }: Announcement, log: FastifyBaseLogger): Promise<Error[]> {
    const errors: Error[] = []
    for (const hook of this.#parts.lifecycle.get(name)) {
      const context = new HandlerRunContext(fact.portal, log, { hook: name, portal: fact.portal.domain })
      const error = await this.#run(() => hook(fact as never, context), context)
      if (error === undefined) continue
      errors.push(error)
      context.log.error({ err: error }, 'lifecycle hook failed')
      this.#parts.lifecycle.tell('onHandlerError', { error, portal: fact.portal, hook: name }, { log: context.log })
    }
    return errors
  }

  /** Aborts the signals of all that runs, and starts nothing more. */
  close (): void {
    this.#closed = true
    for (const context of this.#running) context.abort(new FST_B24_CLOSING())
  }

  async #handle (registration: Registration<HandlerContext>, event: Bitrix24Event, portal: Portal, log: FastifyBaseLogger): Promise<Error | undefined> {
    const context = new HandlerRunContext(portal, log, { event: event.id, code: event.code, portal: portal.domain })
    const error = await this.#run(() => registration.handler(event, context), context)
    if (error !== undefined) {
      context.log.error({ err: error }, 'handler failed')
      this.#parts.lifecycle.tell('onHandlerError', { error, event, portal }, { log: context.log })
    }
    return error
  }

  async #run (call: () => unknown, context: HandlerRunContext): Promise<Error | undefined> {
    if (this.#closed) return new FST_B24_CLOSING()
    this.#running.add(context)
    const error = await runHandler(call, this.#parts.handlerTimeoutMs, error => context.abort(error))
    this.#running.delete(context)
    return error
  }
}
