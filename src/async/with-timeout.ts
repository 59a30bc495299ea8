import { setMaxListeners } from 'node:events'

export interface TimeoutOptions {
  /** Deadline for the whole operation, in milliseconds. @default 5000 */
  timeoutMs?: number | undefined
  /** Aborts the operation early. */
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` with a signal that aborts at the deadline or with the given signal. Not `AbortSignal.any`: on Node 20 the source signal keeps
 * a reference to every signal derived from it for as long as it lives.
 */
export async function withTimeout<T> ({ timeoutMs = 5000, signal }: TimeoutOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new DOMException('No answer in time', 'TimeoutError')), timeoutMs).unref()
  const follow = () => controller.abort(signal?.reason)
  if (signal !== undefined) {
    // One listener per concurrent operation is not a leak; Node warns at the eleventh.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', follow)
    if (signal.aborted) follow()
  }
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', follow)
  }
}

/** Returns whether a promise settles, either way, within `ms`. */
export function settlesWithin (promise: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, false)
    const settled = () => {
      clearTimeout(timer)
      resolve(true)
    }
    promise.then(settled, settled)
  })
}
