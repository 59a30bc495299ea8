import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

export interface AbortState {
  /** Same as `signal.aborted`, without creating the signal. */
  readonly isAborted: boolean
  readonly signal: AbortSignal
}

/** An `AbortController` created on first access of its signal: most runs never read it. */
export class LazyAbortController implements AbortState {
  #controller: AbortController | undefined
  #reason: Error | undefined

  get isAborted (): boolean {
    return this.#reason !== undefined
  }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      // A handler may pass it to a hundred calls; Node warns of a leak at the eleventh listener.
      setMaxListeners(0, this.#controller.signal)
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Keeps the reason of the first call. */
  abort (reason: Error): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }
}

/** Settles as `work` does, or rejects with the signal's reason as soon as it aborts. */
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

/** Waits `ms`, or rejects with the signal's reason as soon as it aborts. */
export async function pause (ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (ms > 0) await unlessAborted(sleep(ms, undefined, { ...(signal !== undefined && { signal }) }), signal)
}
