import { FST_B24_INSTALL_BUSY } from '../../errors.ts'

export interface FairQueueLimits {
  /** Tasks that run at once. @default 16 */
  concurrency?: number
  /** Tasks that may wait. @default 256 */
  waiting?: number
}

interface Waiter {
  start: () => void
  refuse: (error: Error) => void
}

/**
 * Runs tasks, a few at once, and shares the places between the sources that the tasks come from.
 *
 * - Places to run: sources that wait take turns, one task each. A source that runs half of the places or more is passed
 *   over while another waits; alone it may fill them all, and keeps them until its tasks end.
 * - Places to wait: when all are taken, a task takes that of the newest task of the source which holds the most, provided
 *   that its own source holds fewer.
 */
export class FairQueue {
  readonly #concurrency: number
  readonly #most: number
  /** Tasks that run, of each source that has any. */
  readonly #running = new Map<string, number>()
  /** Tasks that wait, of each source that has any, the source first whose turn is next. */
  readonly #waiting = new Map<string, Waiter[]>()
  #size = 0

  constructor ({ concurrency = 16, waiting = 256 }: FairQueueLimits = {}) {
    this.#concurrency = concurrency
    this.#most = concurrency + waiting
  }

  /** Tasks that run or wait now. */
  get size (): number { return this.#size }

  /**
   * Runs `task` when its turn comes, and settles as it does.
   *
   * @throws FST_B24_INSTALL_BUSY when no place is left, or its place was taken by another source; `task` is never run then
   */
  async run<T> (source: string, task: () => Promise<T>): Promise<T> {
    if (this.#size >= this.#most) this.#evictFor(source)
    // Tasks wait only while all places to run are taken: a size below that many is a free place.
    if (this.#size++ < this.#concurrency) this.#countRunning(source, 1)
    else await this.#turnOf(source)
    try {
      return await task()
    } finally {
      this.#size--
      this.#countRunning(source, -1)
      this.#startNext()
    }
  }

  #turnOf (source: string): Promise<void> {
    const waiters = this.#waiting.get(source) ?? []
    this.#waiting.set(source, waiters)
    return new Promise((resolve, reject) => waiters.push({ start: resolve, refuse: reject }))
  }

  #evictFor (source: string): void {
    let fullest: [string, Waiter[]] | undefined
    let most = 1 + (this.#waiting.get(source)?.length ?? 0)
    for (const [other, waiters] of this.#waiting) {
      // Of equals the last, as its turn is the farthest.
      if (waiters.length >= most) [fullest, most] = [[other, waiters], waiters.length]
    }
    if (fullest === undefined) throw new FST_B24_INSTALL_BUSY()
    const [other, waiters] = fullest
    this.#size--
    waiters.pop()?.refuse(new FST_B24_INSTALL_BUSY())
    if (waiters.length === 0) this.#waiting.delete(other)
  }

  #startNext (): void {
    const turns = [...this.#waiting]
    const half = Math.ceil(this.#concurrency / 2)
    const turn = turns.find(([source]) => (this.#running.get(source) ?? 0) < half) ?? turns[0]
    if (turn === undefined) return
    const [source, waiters] = turn
    const waiter = waiters.shift()
    this.#waiting.delete(source)
    if (waiters.length > 0) this.#waiting.set(source, waiters)
    this.#countRunning(source, 1)
    waiter?.start()
  }

  #countRunning (source: string, change: 1 | -1): void {
    const count = (this.#running.get(source) ?? 0) + change
    if (count === 0) this.#running.delete(source)
    else this.#running.set(source, count)
  }
}
