import { isOpen, MAX_ADMITTED_EVENTS, PENDING_INSTALL_TTL_MS, withEvent, withoutEvent, type PendingInstall, type PendingInstalls, type PendingRecord, type PendingState } from '../pending-installs.ts'
import type { Source } from '../network-share.ts'
import type { SqliteDatabase } from './database.ts'

/** Keeps pending installs in a SQLite file: a row each, the record as JSON. */
export class SqlitePendingInstalls implements PendingInstalls {
  readonly #db: SqliteDatabase
  readonly #lifeMs: number

  constructor (db: SqliteDatabase, lifeMs = PENDING_INSTALL_TTL_MS) {
    this.#db = db
    this.#lifeMs = lifeMs
  }

  async open (pending: PendingInstall, source: Source, eventId: string): Promise<boolean> {
    const opened = (): PendingRecord | undefined => withEvent(this.#find(pending), this.#all(), source, eventId, Date.now() + this.#lifeMs)
    return await this.#writeIf(() => opened() !== undefined, () => {
      this.#db.run('DELETE FROM pending_installs WHERE ends_at <= ?', Date.now())
      const record = opened()
      if (record !== undefined) this.#put(pending, record)
      return record !== undefined
    })
  }

  async stateOf (pending: PendingInstall): Promise<PendingState> {
    const record = await this.#db.read(() => this.#find(pending))
    return record === undefined ? 'closed' : isOpen(record) ? 'open' : 'abandoned'
  }

  async admitEvent (pending: PendingInstall): Promise<boolean> {
    const admitting = (): PendingRecord | undefined => {
      const record = this.#find(pending)
      return isOpen(record) && record.admitted < MAX_ADMITTED_EVENTS ? record : undefined
    }
    return await this.#writeIf(() => admitting() !== undefined, () => {
      const record = admitting()
      if (record !== undefined) this.#put(pending, { ...record, admitted: record.admitted + 1 })
      return record !== undefined
    })
  }

  async close (pending: PendingInstall, eventId: string): Promise<void> {
    await this.#endEvent(pending, eventId)
  }

  async abandon (pending: PendingInstall, eventId: string): Promise<void> {
    await this.#endEvent(pending, eventId, Date.now() + this.#lifeMs)
  }

  async #endEvent (pending: PendingInstall, eventId: string, abandonedUntil?: number): Promise<void> {
    await this.#db.write(() => {
      const record = this.#find(pending)
      const rest = record && withoutEvent(record, eventId, abandonedUntil)
      if (rest !== undefined) this.#put(pending, rest)
      else this.#db.run('DELETE FROM pending_installs WHERE name = ?', nameOf(pending))
    })
  }

  /** Reads before it writes: unverified senders can call this often, and each write blocks those of others. */
  async #writeIf (isAllowed: () => boolean, write: () => boolean): Promise<boolean> {
    return await this.#db.read(isAllowed) && await this.#db.write(write)
  }

  #find (pending: PendingInstall): PendingRecord | undefined {
    const row = this.#db.get<[string]>('SELECT record FROM pending_installs WHERE name = ? AND ends_at > ? AND json_valid(record)', nameOf(pending), Date.now())
    return row && JSON.parse(row[0]) as PendingRecord
  }

  #all (): PendingRecord[] {
    return this.#db.all<[string]>('SELECT record FROM pending_installs WHERE ends_at > ? AND json_valid(record)', Date.now()).map(([record]) => JSON.parse(record) as PendingRecord)
  }

  #put (pending: PendingInstall, record: PendingRecord): void {
    this.#db.run('INSERT OR REPLACE INTO pending_installs VALUES (?, ?, ?)', nameOf(pending), record.endsAt, JSON.stringify(record))
  }
}

function nameOf ({ memberId, token }: PendingInstall): string {
  return `${memberId} ${token}`
}
