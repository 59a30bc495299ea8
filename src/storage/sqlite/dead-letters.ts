import type { DeadRow, EventStoreSettings } from '../event-store.ts'
import type { SqliteDatabase } from './database.ts'
import type { Ledger } from './counters.ts'

type Row = [place: number, id: string, body: string, failedAt: number, attempts: number, coalesced: number, error: string]

const ROW = 'place, id, body, failed_at, attempts, coalesced, error'
/** Dead letters that are deleted in one turn. */
const AT_ONCE = 100

/** Dead letters, in the order of their death. What changes them stands in a transaction. */
export class DeadLetters {
  readonly #db: SqliteDatabase
  readonly #ledger: Ledger

  constructor (db: SqliteDatabase, ledger: Ledger) {
    this.#db = db
    this.#ledger = ledger
  }

  static list (db: SqliteDatabase, below: number | undefined, limit: number): DeadRow[] {
    return db.all<Row>(`SELECT ${ROW} FROM dead WHERE place < ? ORDER BY place DESC LIMIT ?`, below ?? Number.MAX_SAFE_INTEGER, limit).map(deadRowOf)
  }

  static get (db: SqliteDatabase, id: string): DeadRow | undefined {
    return db.all<Row>(`SELECT ${ROW} FROM dead WHERE id = ?`, id).map(deadRowOf)[0]
  }

  /** Copies an event. */
  add (seq: number, attempts: number, error: string): DeadRow {
    const [id, grp, size] = this.#db.get<[string, number, number]>('SELECT id, grp, size FROM events WHERE seq = ?', seq)!
    this.discard(id)
    const row = this.#db.get<Row>(`INSERT INTO dead (place, id, grp, lane, failed_at, attempts, coalesced, size, code, key, dedup, progress, error, body)
      SELECT ?, id, grp, lane, ?, ?, coalesced, size, code, key, dedup, progress, ?, body FROM events WHERE seq = ? RETURNING ${ROW}`, ++this.#ledger.death, Date.now(), attempts, error, seq)!
    this.#count(grp, 1, size)
    return deadRowOf(row)
  }

  discard (id: string): boolean {
    return this.#delete('id', id)
  }

  /**
   * Deletes what is too old; then, while there are too many or too large ones, the oldest of the group that has the most bytes of them.
   * @returns how many went before their time
   */
  trim ({ maxAgeMs, maxCount, maxBytes }: EventStoreSettings['deadLetters']): number {
    const tooOld = Date.now() - maxAgeMs
    let evicted = 0
    for (let left = AT_ONCE; left > 0 && this.#ledger.dead > 0; left--) {
      const [place, failedAt] = this.#db.get<[number, number]>('SELECT place, failed_at FROM dead ORDER BY place LIMIT 1') ?? [0, Infinity]
      if (failedAt < tooOld) {
        this.#delete('place', place)
      } else {
        if (this.#ledger.dead <= maxCount && this.#ledger.deadBytes <= maxBytes) break
        if (!this.#delete('place', this.#oldestOfLargest())) break
        evicted++
      }
    }
    return evicted
  }

  #oldestOfLargest (): number {
    return this.#db.get<[number]>('SELECT place FROM dead WHERE grp = (SELECT id FROM groups WHERE dead_bytes > 0 ORDER BY dead_bytes DESC LIMIT 1) ORDER BY place LIMIT 1')?.[0] ?? 0
  }

  #delete (column: 'id' | 'place', value: string | number): boolean {
    const [row] = this.#db.all<[number, number]>(`DELETE FROM dead WHERE ${column} = ? RETURNING grp, size`, value)
    if (row !== undefined) this.#count(row[0], -1, -row[1])
    return row !== undefined
  }

  #count (grp: number, count: number, size: number): void {
    this.#ledger.dead += count
    this.#ledger.deadBytes += size
    this.#ledger.group(grp).isChanged = true
    this.#db.run('UPDATE groups SET dead_bytes = dead_bytes + ? WHERE id = ?', size, grp)
  }
}

function deadRowOf ([place, id, body, failedAt, attempts, coalesced, error]: Row): DeadRow {
  return { place, id, body, failedAt, attempts, coalesced, error }
}
