import { bareError } from '../redis/deadline.ts'

/** Tells of each kind of failure once, until all is well again. */
export class Outage {
  readonly #onError: (error: Error) => void
  readonly #told = new Set<string>()

  constructor (onError: (error: Error) => void) {
    this.#onError = onError
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
    this.#told.clear()
  }
}
