import { setMaxListeners } from 'node:events'

/** Whether a run is to end. */
export interface Aborting {
  /** As `signal.aborted`, for which no signal has to be made. */
  readonly isAborted: boolean
  readonly signal: AbortSignal
}

/** An `AbortController` that is made when somebody reads its signal: most runs end without. */
export class Abort implements Aborting {
  #controller: AbortController | undefined
  #reason: Error | undefined

  get isAborted (): boolean {
    return this.#reason !== undefined
  }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      // A handler may make a hundred calls with it; Node would warn of a leak at the eleventh.
      setMaxListeners(0, this.#controller.signal)
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** The first reason counts. */
  abort (reason: Error): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }
}
