import type { RootDatabase } from 'lmdb'
import type { Install } from './install.ts'
import type { InstallPage, InstallStore, StoredInstall } from '../storage/install-store.ts'
import { openLmdb, settle } from '../embedded/lmdb.ts'
import { SameFile } from '../embedded/same-file.ts'
import { storeUnavailable } from '../storage/unavailable.ts'
import { withinDeadline } from '../storage/within-deadline.ts'
import { ReadRecords } from '../storage/parse-cache.ts'
import { parseInstall } from '../storage/install-record.ts'

const PAGE = 100

/**
 * Keeps installs in a folder, with LMDB: nothing to run beside the app. Any number of processes of one machine may share
 * the folder; it must be on a local disk. Reads come from memory, writes are on disk before they resolve.
 */
export class EmbeddedInstallStore implements InstallStore {
  readonly #db: RootDatabase<string, string>
  readonly #file: SameFile
  readonly #records = new ReadRecords(parseInstall)
  #closed = false

  private constructor (db: RootDatabase<string, string>, file: SameFile) {
    this.#db = db
    this.#file = file
  }

  /**
   * Opens `<dataDir>/<app>/installs`.
   * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
   */
  static async open (dataDir: string, app: string): Promise<EmbeddedInstallStore> {
    const db = await openLmdb<string>(dataDir, app, 'installs', { encoding: 'string', useVersions: true })
    return new EmbeddedInstallStore(db, new SameFile(dataDir, app, 'installs'))
  }

  async get (memberId: string): Promise<StoredInstall | undefined> {
    const entry = this.#use(() => {
      this.#file.assertThereLately()
      // Else it may be a millisecond old: who has just got a lock from another process must see what that one wrote.
      this.#db.resetReadTxn()
      return this.#db.getEntry(memberId)
    })
    if (entry === undefined) return undefined
    // Every entry is written with a version.
    return { version: entry.version as number, install: this.#records.of(memberId, entry.value) }
  }

  async swap (memberId: string, version: number, next: Install): Promise<boolean> {
    // For lmdb, `null` says that there must be no entry.
    const written = this.#use(() => {
      this.#file.assertThere()
      return this.#db.put(memberId, JSON.stringify(next), version + 1, version === 0 ? null as never : version)
    })
    return await withinDeadline(settle(written))
  }

  async scan (cursor?: string): Promise<InstallPage> {
    const after = cursor === undefined ? {} : { start: cursor, exclusiveStart: true }
    const entries = this.#use(() => {
      this.#file.assertThereLately()
      return [...this.#db.getRange({ ...after, limit: PAGE })]
    })
    const installs = entries.map(({ key, value }) => parseInstall(key, value))
    const last = installs[PAGE - 1]
    return last === undefined ? { installs } : { installs, cursor: last.memberId }
  }

  async close (): Promise<void> {
    this.#closed = true
    await this.#db.close()
  }

  #use<T> (use: () => T): T {
    // A read while lmdb closes would throw again later, from a timer where nobody can catch it.
    if (this.#closed) throw storeUnavailable(new Error('The store is closed'))
    try {
      return use()
    } catch (error) {
      throw storeUnavailable(error)
    }
  }
}
