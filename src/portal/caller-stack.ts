/** Errors already extended: one shared by several calls gets the frames of the first. */
const extended = new WeakSet<object>()

/** Captures where a call was made: errors raised later by timers and sockets lack those frames. */
export class CallerStack {
  declare readonly stack?: string

  /** Frames start at the caller of `entry`. */
  constructor (entry: (...args: never[]) => unknown) {
    Error.captureStackTrace(this, entry)
  }

  /** Settles as `work` does; adds the caller's frames to the plugin's own errors. */
  async of<T> (work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      this.#addTo(error)
      throw error
    }
  }

  /** Same as `of`, for a generator. */
  async * ofAll<T> (work: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
    try {
      yield * work
    } catch (error) {
      this.#addTo(error)
      throw error
    }
  }

  #addTo (error: unknown): void {
    if (!(error instanceof Error) || extended.has(error) || !/^FST_B24_/.test(String((error as { code?: unknown }).code))) return
    extended.add(error)
    const frames = this.stack?.split('\n').slice(1).filter(frame => error.stack?.includes(frame) !== true)
    if (frames !== undefined && frames.length > 0) error.stack = [error.stack ?? String(error), ...frames].join('\n')
  }
}
