import { bareError } from '../../storage/unavailable.ts'

/** Tells of each kind of failure once, until all is well again. */
export class Outage {
  readonly #onError: (error: Error) => void
  readonly #onReady: (() => void) | undefined
  readonly #told = new Set<string>()

  constructor (onError: (error: Error) => void, onReady?: () => void) {
    this.#onError = onError
    this.#onReady = onReady
  }

  tell (error: unknown): void {
    const bare = bareError(error)
    // BullMQ names the job in most of its errors, Redis the script.
    const kind = bare.message.replace(/job \S+|script: .*/, '')
    if (this.#told.has(kind)) return
    this.#told.add(kind)
    this.#onError(bare)
  }

  over (): void {
    // Each job that ends comes by here, and `clear` makes a new table.
    if (this.#told.size > 0) this.#told.clear()
  }

  /** The connection is there. */
  connected (): void {
    this.over()
    this.#onReady?.()
  }
}
