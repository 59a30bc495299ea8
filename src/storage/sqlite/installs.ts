import type { Install } from '../../installs/install.ts'
import { parseInstall, ParseCache } from '../install-record.ts'
import type { InstallList, InstallStore, StoredInstall } from '../install-store.ts'
import type { SqliteDatabase } from './database.ts'

const PAGE = 100

/** Keeps installs in a SQLite file: a row each. Any number of processes of one machine may share it; it must be on a local disk. */
export class SqliteInstallStore implements InstallStore {
  readonly #db: SqliteDatabase
  readonly #records = new ParseCache(parseInstall)

  constructor (db: SqliteDatabase) {
    this.#db = db
  }

  async get (memberId: string): Promise<StoredInstall | undefined> {
    return await this.#db.read(() => {
      const row = this.#db.get<[number, string]>('SELECT version, install FROM installs WHERE member_id = ?', memberId)
      return row && { version: row[0], install: this.#records.of(memberId, row[1]) }
    })
  }

  async swap (memberId: string, version: number, next: Install): Promise<boolean> {
    const install = JSON.stringify(next)
    return await this.#db.write(() => version === 0
      ? this.#db.run('INSERT INTO installs VALUES (?, 1, ?) ON CONFLICT DO NOTHING', memberId, install) === 1
      : this.#db.run('UPDATE installs SET version = version + 1, install = ? WHERE member_id = ? AND version = ?', install, memberId, version) === 1)
  }

  async scan (cursor = ''): Promise<InstallList> {
    const rows = await this.#db.read(() => this.#db.all<[string, string]>('SELECT member_id, install FROM installs WHERE member_id > ? ORDER BY member_id LIMIT ?', cursor, PAGE))
    const installs = rows.map(([memberId, install]) => parseInstall(memberId, install))
    const last = installs[PAGE - 1]
    return last === undefined ? { installs } : { installs, cursor: last.memberId }
  }
}
