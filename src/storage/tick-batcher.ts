interface Open<Item, Result> {
  items: Item[]
  results: Promise<Result[]>
  send (): void
}

/**
 * Collects the items of one tick of the event loop into one command, up to `maxSize`. A full batch is sent at once, so that the storage works
 * on it while others are collected.
 */
export class TickBatcher<Item, Result> {
  readonly #sendBatch: (items: Item[]) => Promise<Result[]>
  readonly #maxSize: number
  readonly #isEager: boolean
  #open: Open<Item, Result> | undefined
  #inFlight = 0

  /**
   * @param send resolves with the results in the order of the items
   * @param eager sends an item at once if no command is in progress
   */
  constructor (send: (items: Item[]) => Promise<Result[]>, maxSize: number, { eager = false } = {}) {
    this.#sendBatch = send
    this.#maxSize = maxSize
    this.#isEager = eager
  }

  async add (item: Item): Promise<Result> {
    if (this.#isEager && this.#inFlight === 0 && this.#open === undefined) return (await this.#send([item]))[0] as Result
    const { items, results, send } = this.#open ??= this.#begin()
    const index = items.push(item) - 1
    if (items.length === this.#maxSize) send()
    return (await results)[index] as Result
  }

  #begin (): Open<Item, Result> {
    const items: Item[] = []
    let send!: () => void
    const results = new Promise<Result[]>((resolve) => {
      send = () => {
        if (this.#open?.items !== items) return
        this.#open = undefined
        resolve(this.#send(items))
      }
    })
    setImmediate(send)
    return { items, results, send }
  }

  async #send (items: Item[]): Promise<Result[]> {
    this.#inFlight++
    try {
      return await this.#sendBatch(items)
    } finally {
      this.#inFlight--
    }
  }
}
