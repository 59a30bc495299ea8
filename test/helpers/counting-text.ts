/** A text that counts how many of its characters are read, for code that uses only these methods of a string. */
export class CountingText {
  reads = 0
  readonly #text: string

  constructor (text: string) {
    this.#text = text
  }

  get length (): number {
    return this.#text.length
  }

  charCodeAt (at: number): number {
    this.reads++
    return this.#text.charCodeAt(at)
  }

  slice (from: number, to: number): string {
    this.reads += to - from
    return this.#text.slice(from, to)
  }

  indexOf (character: string, from: number): number {
    const at = this.#text.indexOf(character, from)
    this.reads += (at === -1 ? this.#text.length : at + 1) - from
    return at
  }
}
