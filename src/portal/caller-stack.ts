/** Errors that have the frames of a caller: one that several calls share has those of the first. */
const told = new WeakSet<object>()

/** Where a call was made: what fails later, behind timers and sockets, has no frame of it by itself. */
export class CallerStack {
  declare readonly stack?: string

  /** `entry` is the function that was called; frames begin at who called it. */
  constructor (entry: (...args: never[]) => unknown) {
    Error.captureStackTrace(this, entry)
  }

  /** Settles as `work` does; an error of ours gets the frames of the caller. */
  async of<T> (work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      this.#addTo(error)
      throw error
    }
  }

  /** The same for a generator. */
  async * ofAll<T> (work: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
    try {
      yield * work
    } catch (error) {
      this.#addTo(error)
      throw error
    }
  }

  #addTo (error: unknown): void {
    if (!(error instanceof Error) || told.has(error) || !/^FST_B24_/.test(String((error as { code?: unknown }).code))) return
    told.add(error)
    const frames = this.stack?.split('\n').slice(1).filter(frame => error.stack?.includes(frame) !== true)
    if (frames !== undefined && frames.length > 0) error.stack = [error.stack ?? String(error), ...frames].join('\n')
  }
}
