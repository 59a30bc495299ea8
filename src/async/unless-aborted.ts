import { setTimeout as sleep } from 'node:timers/promises'

/** Settles as `work` does, or rejects with the reason of the signal as soon as that aborts. */
export async function unlessAborted<T> (work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work
  let abort!: () => void
  const aborted = new Promise<never>((_resolve, reject) => { abort = () => reject(signal.reason) })
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    return await Promise.race([aborted, work])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Waits; rejects with the reason of the signal as soon as that aborts. */
export async function pause (ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (ms > 0) await unlessAborted(sleep(ms, undefined, { ...(signal !== undefined && { signal }) }), signal)
}
