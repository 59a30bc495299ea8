import { inspect, types } from 'node:util'
import { FST_B24_HANDLER_TIMEOUT } from '../errors.ts'

/**
 * Runs one handler up to its time limit. At the limit `onLimit` is called and the run counts as failed, whether the
 * handler has ended or not.
 *
 * @returns the error the handler failed with, or `undefined`
 */
export function runHandler (call: () => unknown, timeoutMs: number, onLimit: (error: Error) => void): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const running = start(call, resolve)
    if (!isPromise(running)) return resolve(undefined)
    const timer = setTimeout(() => {
      const error = new FST_B24_HANDLER_TIMEOUT(timeoutMs)
      onLimit(error)
      resolve(error)
      // A run that the queue has given back must not keep the process.
    }, timeoutMs).unref()
    const end = (error?: Error): void => {
      clearTimeout(timer)
      resolve(error)
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
  return types.isNativeError(thrown) ? thrown : new Error(inspect(thrown), { cause: thrown })
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
