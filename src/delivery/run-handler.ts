import { inspect, types } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_HANDLER_TIMEOUT } from '../errors.ts'
import type { Portal } from '../portal/portal.ts'
import { type AbortState, LazyAbortController } from '../async/abort.ts'

export interface RunLimits {
  /** Time limit of a handler, ms. */
  handlerTimeoutMs: number
  /** Time that an aborted handler has to end, ms. */
  graceMs: number
}

/**
 * Runs a handler with a time limit. At the limit `onLimit` is called and the run counts as failed, regardless of what the handler does
 * later. Its end is still awaited for `graceMs`, so that a retry does not run concurrently with it.
 *
 * @returns the error of the handler, or `undefined`
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
    // A run that was given back to the queue must not keep the process alive.
    let timer = setTimeout(abort, handlerTimeoutMs).unref()
    const end = (error?: Error): void => {
      clearTimeout(timer)
      resolve(late ?? error)
    }
    running.then(() => end(), (thrown: unknown) => end(errorOf(thrown)))
  })
}

/** Calls the handler and returns its result; passes a synchronous error to `fail`. */
function start (call: () => unknown, fail: (error: Error) => void): unknown {
  try {
    return call()
  } catch (thrown) {
    return fail(errorOf(thrown))
  }
}

function errorOf (thrown: unknown): Error {
  // Errors of another realm are not instances of `Error` here, and those of @fastify/error are not native.
  return thrown instanceof Error || types.isNativeError(thrown) ? thrown : new Error(inspect(thrown), { cause: thrown })
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}

/** Second argument of handlers. */
export interface HandlerContext {
  readonly portal: Portal
  /** Logger bound to the event and its portal. */
  readonly log: FastifyBaseLogger
  /** Aborted at the handler's time limit (`delivery.handlerTimeoutMs`) and when the app closes. */
  readonly signal: AbortSignal
}

/** Context of one run. `log` and `signal` are created on first access: most handlers use neither. */
export class HandlerRunContext implements HandlerContext {
  readonly portal: Portal
  readonly #parentLog: FastifyBaseLogger
  readonly #bindings: object
  readonly #run: AbortState | undefined
  readonly #abort = new LazyAbortController()
  #log: FastifyBaseLogger | undefined
  #isLinked = false

  /** @param run aborts this context too */
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

  /** Detaches from the run after the handler has ended; only `abort` still aborts. */
  end (): void {
    if (this.#isLinked) this.#run?.signal.removeEventListener('abort', this.#follow)
    this.#isLinked = true
  }

  #follow = (): void => this.abort(this.#run?.signal.reason as Error)
}
