/** Records that are kept at hand; each has some 4 KB with what was read from it. */
const MOST_RECORDS = 1_000

type Decode<T> = (memberId: string, text: string) => T

/**
 * Reads records, each text once: a busy portal's record is read with each of its events and seldom changes. What the store holds
 * is compared whole every time, so that nothing old is ever taken for it.
 */
export class ReadRecords<T extends object> {
  readonly #decode: Decode<T>
  readonly #read = new Map<string, { text: string, record: T }>()

  constructor (decode: Decode<T>) {
    this.#decode = decode
  }

  /**
   * What `text` says. All who ask are given the same object, and nobody can change it.
   * @throws what `decode` throws
   */
  of (memberId: string, text: string): T {
    const known = this.#read.get(memberId)
    if (known?.text === text) return known.record
    const record = freeze(this.#decode(memberId, text))
    if (known === undefined && this.#read.size >= MOST_RECORDS) this.#forgetOldest()
    this.#read.set(memberId, { text, record })
    return record
  }

  #forgetOldest (): void {
    const [oldest] = this.#read.keys()
    this.#read.delete(oldest!)
  }
}

/** To any depth. */
function freeze<T extends object> (value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) freeze(inner)
  return Object.freeze(value)
}
