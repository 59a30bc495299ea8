import { statSync } from 'node:fs'
import { join } from 'node:path'

/** The file of a database that is open. LMDB would go on writing to one that was deleted, and be content. */
export class SameFile {
  readonly #file: string
  readonly #inode: number

  /** @throws when it is not there */
  constructor (dataDir: string, app: string, name: string) {
    this.#file = join(dataDir, app, name, 'data.mdb')
    this.#inode = statSync(this.#file).ino
  }

  /** @throws when it was deleted or replaced since */
  assertThere (): void {
    if (statSync(this.#file).ino !== this.#inode) throw new Error('The folder is another one now')
  }
}
