import { withTimeout } from '../../async/with-timeout.ts'
import { unavailableError } from './call-error.ts'

export interface TimeLimits {
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` with a signal that aborts at the limits. Rejects with the reason of the signal that was given when that aborts.
 *
 * @throws FST_B24_PORTAL_UNAVAILABLE when the time is over
 */
export async function withinTime<T> ({ timeoutMs, signal }: TimeLimits, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return await withTimeout({ timeoutMs, signal }, async (within) => {
    try {
      return await work(within)
    } catch (error) {
      signal?.throwIfAborted()
      throw within.aborted ? unavailableError(`no answer within ${timeoutMs} ms`) : error
    }
  })
}
