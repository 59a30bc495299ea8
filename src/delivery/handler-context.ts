import type { FastifyBaseLogger } from 'fastify'
import type { Portal } from '../portal/portal.ts'

/** What a handler gets beside the event. `log` and `signal` are made when they are first read: most handlers read neither. */
export class HandlerContext {
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

  /** Logs with the event and its portal. */
  get log (): FastifyBaseLogger {
    this.#log ??= this.#parentLog.child(this.#bindings)
    return this.#log
  }

  /** Aborts at the handler's time limit (`delivery.handlerTimeoutMs`) and when the app closes. */
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
