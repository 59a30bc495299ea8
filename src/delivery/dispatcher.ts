import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_CLOSING } from '../errors.ts'
import { createEvent, type Bitrix24Event } from '../events/event.ts'
import type { EventHooks, Registration } from '../events/hooks.ts'
import type { Portal } from '../portal/portal.ts'
import type { Envelope } from '../wire/envelope.ts'
import { HandlerContext } from './handler-context.ts'
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
  readonly #running = new Set<HandlerContext>()
  readonly #misfits = new Map<string, number>()

  constructor (parts: DispatcherParts) {
    this.#parts = parts
  }

  /** How many fields did not fit their documented type, by event. */
  get misfits (): Record<string, number> {
    return Object.fromEntries(this.#misfits)
  }

  /** Hands an event to its handlers; resolves with the errors of those that failed. */
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

  /** Runs the lifecycle hooks of one name; resolves with the errors of those that failed. */
  async announce ({ hook: name, fact }: Announcement, log: FastifyBaseLogger): Promise<Error[]> {
    const errors: Error[] = []
    for (const hook of this.#parts.lifecycle.get(name)) {
      const error = await runHandler(() => hook(fact as never, { log }), this.#parts.handlerTimeoutMs)
      if (error === undefined) continue
      errors.push(error)
      log.error({ err: error, hook: name, portal: fact.portal.domain }, 'lifecycle hook failed')
      this.#parts.lifecycle.tell('onHandlerError', { error, portal: fact.portal, hook: name }, { log })
    }
    return errors
  }

  /** Aborts the signals of all running handlers. */
  close (): void {
    for (const context of this.#running) context.abort(new FST_B24_CLOSING())
  }

  async #handle (registration: Registration<HandlerContext>, event: Bitrix24Event, portal: Portal, log: FastifyBaseLogger): Promise<Error | undefined> {
    const context = new HandlerContext(portal, log, { event: event.id, code: event.code, portal: portal.domain })
    this.#running.add(context)
    const error = await runHandler(() => registration.handler(event, context), this.#parts.handlerTimeoutMs, error => context.abort(error))
    this.#running.delete(context)
    if (error !== undefined) {
      context.log.error({ err: error }, 'handler failed')
      this.#parts.lifecycle.tell('onHandlerError', { error, event, portal }, { log: context.log })
    }
    return error
  }
}
