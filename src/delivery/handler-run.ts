import { inspect, types } from 'node:util'
import { FST_B24_HANDLER_TIMEOUT } from '../errors.ts'
import type { TimeLimit } from '../time-limit.ts'

/**
 * Runs one handler up to its time limit. At the limit `onLimit` is called and the run counts as failed, whether the
 * handler has ended or not.
 *
 * @returns the error the handler failed with, or `undefined`
 */
export async function runHandler (call: () => unknown, limit: TimeLimit, onLimit: (error: Error) => void): Promise<Error | undefined> {
  const late = (): Error => {
    const error = new FST_B24_HANDLER_TIMEOUT(limit.ms)
    onLimit(error)
    return error
  }
  try {
    const running = call()
    if (isPromise(running)) await limit.hold(running, late)
    return undefined
  } catch (thrown) {
    return errorOf(thrown)
  }
}

function errorOf (thrown: unknown): Error {
  return types.isNativeError(thrown) ? thrown : new Error(inspect(thrown), { cause: thrown })
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
