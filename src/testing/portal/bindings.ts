import { inspect } from 'node:util'

/** One row of a portal's event table. */
export interface Binding {
  clientId: string
  /** Name in capitals. */
  event: string
  /** Empty for an offline binding. */
  handler: string
  /** Whose tokens go with the event; 0 for those of the user who acts. */
  userId: number
  offline: boolean
  /** Queue of an offline binding; empty for the app's one without a name. */
  connector: string
}

/** What the apps of one portal have bound with `event.bind`. */
export class Bindings {
  #rows: Binding[] = []

  /** @returns `false` when this very row is there already */
  add (row: Binding): boolean {
    if (this.#rows.some(known => matches(known, row))) return false
    this.#rows.push(row)
    return true
  }

  /** @returns how many rows there were */
  remove (gone: Partial<Binding>): number {
    const before = this.#rows.length
    this.#rows = this.#rows.filter(row => !matches(row, gone))
    return before - this.#rows.length
  }

  find (wanted: Partial<Binding>): Binding[] {
    return this.#rows.filter(row => matches(row, wanted))
  }

  [Symbol.iterator] (): Iterator<Binding> {
    return this.#rows.values()
  }

  toJSON (): Binding[] {
    return this.#rows
  }

  /** What `console.log` prints of it: the rows. */
  [inspect.custom] (): Binding[] {
    return this.#rows
  }
}

function matches (row: Binding, wanted: Partial<Binding>): boolean {
  return Object.entries(wanted).every(([name, value]) => row[name as keyof Binding] === value)
}
