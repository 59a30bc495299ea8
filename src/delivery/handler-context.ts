import type { FastifyBaseLogger } from 'fastify'
import type { Portal } from '../portal/portal.ts'

/** What a handler gets beside the event. */
export interface HandlerContext {
  readonly portal: Portal
  /** Logs with the event and its portal. */
  readonly log: FastifyBaseLogger
  /** Aborts at the handler's time limit (`delivery.handlerTimeoutMs`) and when the app closes. */
  readonly signal: AbortSignal
}

/** The context of one run. `log` and `signal` are made when they are first read: most handlers read neither. */
export class HandlerRunContext implements HandlerContext {
  readonly portal: Portal
  readonly #parentLog: FastifyBaseLogger
  readonly #bindings: object
  #log: FastifyBaseLogger | undefined
  #controller: AbortController | undefined
  #abortReason: Error | undefined

  constructor (portal: Portal, parentLog: FastifyBaseLogger, bindings: object) {
    this.portal = portal
    this.#parentLog = parentLog
    this.#bindings = bindings
  }

  get log (): FastifyBaseLogger {
    this.#log ??= this.#parentLog.child(this.#bindings)
    return this.#log
  }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason)
    }
    return this.#controller.signal
  }

  abort (reason: Error): void {
    this.#abortReason = reason
    this.#controller?.abort(reason)
  }
}
