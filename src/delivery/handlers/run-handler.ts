import { inspect, types } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_HANDLER_TIMEOUT } from '../../errors.ts'
import type { Portal } from '../../portal/portal.ts'
import { type AbortState, LazyAbortController } from '../../async/abort.ts'

export interface RunLimits {
  /** Longest run of a handler, ms. */
  handlerTimeoutMs: number
  /** Time that one which was aborted has to end, ms. */
  graceMs: number
}

/**
 * Runs one handler up to its time limit. At the limit `onLimit` is called and the run counts as failed, whatever the handler
 * does then. Its end is waited for all the same, up to another limit: what is tried again before would run beside it.
 *
 * @returns the error the handler failed with, or `undefined`
 */
export function runHandler (call: () => unknown, { handlerTimeoutMs, graceMs }: RunLimits, onLimit: (error: Error) => void): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const running = start(call, resolve)
    if (!isPromise(running)) return resolve(undefined)
    let late: Error | undefined
    const abort = (): void => {
      const error = new FST_B24_HANDLER_TIMEOUT(handlerTimeoutMs)
      late = error
      timer = setTimeout(resolve, graceMs, error).unref()
      onLimit(error)
    }
    // A run that the queue has given back must not keep the process.
    let timer = setTimeout(abort, handlerTimeoutMs).unref()
    const end = (error?: Error): void => {
      clearTimeout(timer)
      resolve(late ?? error)
    }
    running.then(() => end(), (thrown: unknown) => end(errorOf(thrown)))
  })
}

/** What the handler returned; what it threw at once is told to `fail`. */
function start (call: () => unknown, fail: (error: Error) => void): unknown {
  try {
    return call()
  } catch (thrown) {
    return fail(errorOf(thrown))
  }
}

function errorOf (thrown: unknown): Error {
  // An error of another realm is no instance of ours; one of @fastify/error is no native one.
  return thrown instanceof Error || types.isNativeError(thrown) ? thrown : new Error(inspect(thrown), { cause: thrown })
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}

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
