import { setMaxListeners } from 'node:events'

export interface RequestLimits {
  /**
   * Longest that it may take as a whole, ms.
   * @default 5000
   */
  timeoutMs?: number | undefined
  /** Gives up when it aborts. */
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` with a signal that aborts at the limits. `AbortSignal.any` would do, were it not that Node 20 keeps a reference to
 * each of its signals on the one it follows, for as long as that lives.
 */
export async function withinLimits<T> (limits: RequestLimits, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { timeoutMs = 5000, signal } = limits
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new DOMException('No answer in time', 'TimeoutError')), timeoutMs).unref()
  const follow = () => controller.abort(signal?.reason)
  if (signal !== undefined) {
    // As many listeners as works under way are no leak, of which Node would warn from the eleventh on.
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
