/**
 * Finds one character in a text, going forward only: what lies between two finds is searched once, however often it is asked.
 */
export class Finder {
  readonly #text: string
  readonly #character: string
  #next = -1

  constructor (text: string, character: string) {
    this.#text = text
    this.#character = character
  }

  /** The first place at or after `from`, the end of the text when there is none. `from` must not be less than before. */
  from (from: number): number {
    if (this.#next < from) {
      const at = this.#text.indexOf(this.#character, from)
      this.#next = at === -1 ? this.#text.length : at
    }
    return this.#next
  }
}
