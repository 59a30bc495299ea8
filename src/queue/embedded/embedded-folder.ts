import { join, resolve } from 'node:path'
import { JournalWriter } from '../journal/journal-writer.ts'
import { EmbeddedCommits } from './embedded-commits.ts'
import { EmbeddedJournal } from './embedded-journal.ts'
import { EmbeddedTables } from './embedded-tables.ts'

/**
 * The folder of a queue, opened once in a process, however many queues are on it: lmdb waits for its write lock on the very
 * thread that would have to end the transaction of another one.
 */
export class EmbeddedFolder {
  static readonly #opened = new Map<string, Promise<EmbeddedFolder>>()

  readonly tables: EmbeddedTables
  readonly commits: EmbeddedCommits
  /** What this process takes in. */
  readonly writer: JournalWriter
  /** What all processes took in. */
  readonly journal: EmbeddedJournal
  readonly #path: string
  #users = 0
  #isClosing = false

  private constructor (path: string, tables: EmbeddedTables) {
    this.#path = path
    this.tables = tables
    this.commits = new EmbeddedCommits(tables)
    const segments = join(path, 'journal')
    this.writer = new JournalWriter(segments, () => tables.assertThere())
    this.journal = new EmbeddedJournal(segments, tables.places)
  }

  /** @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written */
  static async open (dataDir: string, app: string): Promise<EmbeddedFolder> {
    const path = resolve(dataDir, app)
    const opening = EmbeddedFolder.#opened.get(path) ?? EmbeddedTables.open(dataDir, app).then(tables => new EmbeddedFolder(path, tables))
    EmbeddedFolder.#opened.set(path, opening)
    try {
      const folder = await opening
      folder.#users++
      return folder
    } catch (error) {
      EmbeddedFolder.#opened.delete(path)
      throw error
    }
  }

  /** Closes the tables when the last user leaves, after all that is under way. */
  async close (): Promise<void> {
    this.#users--
    await this.commits.idle()
    if (this.#users > 0 || this.#isClosing) return
    this.#isClosing = true
    EmbeddedFolder.#opened.delete(this.#path)
    await this.writer.close()
    this.journal.close()
    await this.tables.close()
  }
}
