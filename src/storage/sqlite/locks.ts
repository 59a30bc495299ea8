import { randomBytes } from 'node:crypto'
import type { Lock, Locks } from '../storage.ts'
import type { SqliteDatabase } from './database.ts'

/** An end farther away than it ever was is of a clock that was set back since. */
const UNEXPIRED = 'ends_at > ?2 AND ends_at - ?2 <= ttl'
/** Locks that lapsed, forgotten with each that is taken. */
const SWEPT = 4

/** Locks as rows of a SQLite file. A power loss may lose them, but it also ends their owners. */
export class SqliteLocks implements Locks {
  readonly #db: SqliteDatabase

  constructor (db: SqliteDatabase) {
    this.#db = db
  }

  async take (name: string, ttlMs: number): Promise<Lock | undefined> {
    // A waiting process polls many times a second. Reading first avoids a write lock each time.
    if (await this.#db.read(() => this.#isHeld(name))) return undefined
    const holder = randomBytes(12).toString('base64url')
    if (!await this.#write(() => this.#take(name, holder, ttlMs))) return undefined
    return {
      renew: async ttlMs => await this.#write(() => this.#db.run(`UPDATE locks SET ends_at = ?2 + ?4, ttl = ?4 WHERE name = ?1 AND holder = ?3 AND ${UNEXPIRED}`, name, Date.now(), holder, ttlMs) === 1),
      release: async () => { await this.#write(() => this.#db.run('DELETE FROM locks WHERE name = ? AND holder = ?', name, holder)).catch(() => {}) }
    }
  }

  #take (name: string, holder: string, ttlMs: number): boolean {
    if (this.#isHeld(name)) return false
    const now = Date.now()
    this.#db.run(`DELETE FROM locks WHERE name IN (SELECT name FROM locks WHERE ends_at <= ? LIMIT ${SWEPT})`, now)
    this.#db.run('INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?)', name, holder, now + ttlMs, ttlMs)
    return true
  }

  #isHeld (name: string): boolean {
    return this.#db.get(`SELECT 1 FROM locks WHERE name = ?1 AND ${UNEXPIRED}`, name, Date.now()) !== undefined
  }

  async #write<T> (run: () => T): Promise<T> {
    return await this.#db.write(run, { isDurable: false })
  }
}
