import { statSync } from 'node:fs'
import { join } from 'node:path'

/** For so long a reader relies on a look, ms. */
const LATELY_MS = 10

/** The file of a database that is open. LMDB would go on writing to one that was deleted, and be content. */
export class SameFile {
  readonly #file: string
  readonly #inode: number
  #lookedAt = -Infinity

  /** @throws when it is not there */
  constructor (dataDir: string, app: string, name: string) {
    this.#file = join(dataDir, app, name, 'data.mdb')
    this.#inode = statSync(this.#file).ino
  }

  /** @throws when it was deleted or replaced since */
  assertThere (): void {
    if (statSync(this.#file).ino !== this.#inode) throw new Error('The folder is another one now')
    this.#lookedAt = performance.now()
  }

  /**
   * The same for who only reads: a look takes as long as the read itself.
   * @throws when it was deleted or replaced, some ms ago at the latest
   */
  assertThereLately (): void {
    if (performance.now() - this.#lookedAt > LATELY_MS) this.assertThere()
  }
}
