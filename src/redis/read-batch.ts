import { setImmediate as endOfTurn } from 'node:timers/promises'

/** Reads many keys in one round trip, as `MGET` does. */
type ReadMany = (keys: string[]) => Promise<Array<string | null>>

/**
 * Reads keys one by one for who asks, and in one command for Redis: what one turn of the event loop asks for travels together.
 * One key alone waits no longer than to the end of its turn.
 */
export class ReadBatch {
  readonly #readMany: ReadMany
  #keys: string[] = []
  #values: Promise<Array<string | null>> | undefined

  constructor (readMany: ReadMany) {
    this.#readMany = readMany
  }

  async get (key: string): Promise<string | null> {
    const index = this.#keys.push(key) - 1
    this.#values ??= this.#read()
    return (await this.#values)[index] as string | null
  }

  async #read (): Promise<Array<string | null>> {
    await endOfTurn()
    const keys = this.#keys
    this.#keys = []
    this.#values = undefined
    return await this.#readMany(keys)
  }
}
