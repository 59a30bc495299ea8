import type { FastifyBaseLogger } from 'fastify'
import type { Portal } from '../../portal/portal.ts'
import { LazyAbortController, type AbortState } from '../../async/abort.ts'

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
  readonly #run: AbortState | undefined
  readonly #abort = new LazyAbortController()
  #log: FastifyBaseLogger | undefined
  #isLinked = false

  /** `run` aborts this one too. */
  constructor (portal: Portal, parentLog: FastifyBaseLogger, bindings: object, run?: AbortState) {
    this.portal = portal
    this.#parentLog = parentLog
    this.#bindings = bindings
    this.#run = run
  }

  get log (): FastifyBaseLogger {
    this.#log ??= this.#parentLog.child(this.#bindings)
    return this.#log
  }

  get signal (): AbortSignal {
    if (!this.#isLinked && this.#run !== undefined) {
      this.#isLinked = true
      if (this.#run.isAborted) this.#follow()
      else this.#run.signal.addEventListener('abort', this.#follow)
    }
    return this.#abort.signal
  }

  abort (reason: Error): void {
    this.#abort.abort(reason)
  }

  /** The handler has ended: from now on only `abort` aborts it. */
  end (): void {
    if (this.#isLinked) this.#run?.signal.removeEventListener('abort', this.#follow)
    this.#isLinked = true
  }

  #follow = (): void => this.abort(this.#run?.signal.reason as Error)
}
