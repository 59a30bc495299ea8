import { chmod, mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { RootDatabase } from 'lmdb'
import type { Install } from './install.ts'
import type { InstallPage, InstallStore, StoredInstall } from './store.ts'
import { storeUnavailable, withinDeadline } from '../redis/deadline.ts'
import { parseInstall } from './record.ts'

const PAGE = 100

/**
 * Keeps installs in a folder, with LMDB: nothing to run beside the app. Any number of processes of one machine may share
 * the folder; it must be on a local disk. Reads come from memory, writes are on disk before they resolve.
 */
export class EmbeddedInstallStore implements InstallStore {
  readonly #db: RootDatabase<string, string>
  #closed = false

  private constructor (db: RootDatabase<string, string>) {
    this.#db = db
  }

  /**
   * Opens `<dataDir>/<app>/installs`, and makes what is missing of it for the owner's eyes alone (0700).
   * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
   */
  static async open (dataDir: string, app: string): Promise<EmbeddedInstallStore> {
    try {
      const folder = join(dataDir, app)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      // It may have been there, and open to others.
      await chmod(folder, 0o700)
      // `import` would read lmdb from a dozen files, `require` reads one: some 15 ms less at every start.
      const { open } = createRequire(import.meta.url)('lmdb') as typeof import('lmdb')
      return new EmbeddedInstallStore(open({
        path: join(folder, 'installs'),
        noSubdir: false,
        encoding: 'string',
        useVersions: true,
        // A write resolves when it is on disk, and rejects when it cannot get there.
        overlappingSync: false,
        // With batching, lmdb makes a promise of its own for each commit; on a full disk it rejects unheard, and Node exits.
        eventTurnBatching: false
      }))
    } catch (error) {
      throw storeUnavailable(error)
    }
  }

  async get (memberId: string): Promise<StoredInstall | undefined> {
    const entry = this.#read(() => this.#db.getEntry(memberId))
    if (entry === undefined) return undefined
    // Every entry is written with a version.
    return { version: entry.version as number, install: parseInstall(memberId, entry.value) }
  }

  swap (memberId: string, version: number, next: Install): Promise<boolean> {
    return withinDeadline(this.#write(memberId, version, JSON.stringify(next)))
  }

  async scan (cursor?: string): Promise<InstallPage> {
    const after = cursor === undefined ? {} : { start: cursor, exclusiveStart: true }
    const entries = this.#read(() => [...this.#db.getRange({ ...after, limit: PAGE })])
    const installs = entries.map(({ key, value }) => parseInstall(key, value))
    const last = installs[PAGE - 1]
    return last === undefined ? { installs } : { installs, cursor: last.memberId }
  }

  async close (): Promise<void> {
    this.#closed = true
    await this.#db.close()
  }

  #read<T> (read: () => T): T {
    // A read while lmdb closes would throw again later, from a timer where nobody can catch it.
    if (this.#closed) throw storeUnavailable(new Error('The store is closed'))
    try {
      return read()
    } catch (error) {
      throw storeUnavailable(error)
    }
  }

  async #write (memberId: string, version: number, json: string): Promise<boolean> {
    // For lmdb, `null` says that there must be no entry.
    const written = this.#db.put(memberId, json, version + 1, version === 0 ? null as never : version)
    try {
      return await written
    } catch (error) {
      // The reason is in a second promise: Node exits if it rejects unheard, and at times it never settles.
      const reason = (error as { commitError: Promise<never> }).commitError.catch((reason: unknown) => reason)
      throw await Promise.race([reason, setImmediate(error)])
    }
  }
}
