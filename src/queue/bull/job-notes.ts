/**
 * What is noted of the few jobs that are at hand, by their ids. A `Map` would do, but as thousands come and go, V8 keeps each of its
 * former tables, and all that was in it, until the next full collection: a tenth of a worker's time.
 */
export class JobNotes<T> {
  readonly #ids: string[] = []
  readonly #notes: T[] = []

  get (id: string): T | undefined {
    return this.#notes[this.#ids.indexOf(id)]
  }

  set (id: string, note: T): void {
    this.delete(id)
    this.#ids.push(id)
    this.#notes.push(note)
  }

  delete (id: string): void {
    const at = this.#ids.indexOf(id)
    if (at === -1) return
    this.#ids.splice(at, 1)
    this.#notes.splice(at, 1)
  }
}
