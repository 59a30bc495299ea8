/** A clock that is corrected by less is not set back, ms. */
const TOLERANCE_MS = 1_000

/**
 * Notices when the clock of the machine is set back. BullMQ notes the times at which jobs are due by that clock: they would
 * be due that much later.
 */
export class ClockWatch {
  readonly #setBack: () => void
  readonly #now: () => number
  #offset: number

  /** @param setBack called when the clock was set back since the last look */
  constructor (setBack: () => void, now: () => number = Date.now) {
    this.#setBack = setBack
    this.#now = now
    this.#offset = now() - performance.now()
  }

  look (): void {
    const offset = this.#now() - performance.now()
    const isSetBack = offset < this.#offset - TOLERANCE_MS
    this.#offset = offset
    if (isSetBack) this.#setBack()
  }
}
