interface Run {
  /** On the clock of `performance.now()`. */
  readonly endsAt: number
  readonly onLimit: () => void
}

/**
 * A time limit for any number of runs. They share one timer: one for each would cost more than most of them do. It does not
 * keep the process alive.
 */
export class TimeLimit {
  readonly ms: number
  /** In the order of their ends. */
  readonly #runs = new Set<Run>()
  #timer: NodeJS.Timeout | undefined

  constructor (ms: number) {
    this.ms = ms
  }

  /** Settles as `running` does, or, if the limit comes first, rejects with what `late` makes then. */
  hold<T> (running: PromiseLike<T>, late: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = { endsAt: performance.now() + this.ms, onLimit: () => reject(late()) }
      this.#runs.add(run)
      this.#arm(this.ms)
      running.then((value) => {
        this.#runs.delete(run)
        resolve(value)
      }, (reason) => {
        this.#runs.delete(run)
        reject(reason)
      })
    })
  }

  /** A timer goes on when its run has ended, since the next run mostly follows at once. */
  #arm (ms: number): void {
    this.#timer ??= setTimeout(() => this.#check(), ms).unref()
  }

  #check (): void {
    this.#timer = undefined
    const now = performance.now()
    for (const run of this.#runs) {
      if (run.endsAt > now) return this.#arm(run.endsAt - now)
      this.#runs.delete(run)
      run.onLimit()
    }
  }
}
