import { FST_B24_HANDLER_TIMEOUT } from '../errors.ts'

/**
 * Runs one handler up to its time limit. At the limit `onLimit` is called and the run counts as failed, whether the
 * handler has ended or not.
 *
 * @returns the error the handler failed with, or `undefined`
 */
export async function runHandler (call: () => unknown, timeoutMs: number, onLimit?: (error: Error) => void): Promise<Error | undefined> {
  try {
    const running = call()
    if (isPromise(running)) await atMost(running, timeoutMs, onLimit)
    return undefined
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown))
  }
}

async function atMost (running: PromiseLike<unknown>, timeoutMs: number, onLimit?: (error: Error) => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const error = new FST_B24_HANDLER_TIMEOUT(timeoutMs)
      onLimit?.(error)
      reject(error)
    }, timeoutMs)
  })
  try {
    await Promise.race([running, limit])
  } finally {
    clearTimeout(timer)
  }
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
