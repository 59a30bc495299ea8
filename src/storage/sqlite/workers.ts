import type { DeadRow } from '../event-store.ts'
import type { SqliteDatabase } from './database.ts'
import type { Ledger } from './counters.ts'
import { ACTIVE, DEFERRED } from './schema.ts'
import { baseOf, type Transitions } from './transitions.ts'

/** Codes that a worker listens to, as it named them; `undefined`: all. */
export type Codes = ReadonlySet<string> | undefined

type Place = [seq: number, grp: number, lane: number]

/** Lease of a worker that has said what it listens to, and nothing else yet, ms. */
const FIRST_LEASE_MS = 30_000
/** Workers whose events are taken over in one turn, and how many events. */
const DEAD_WORKERS = 4
const TAKEN_OVER = 32
/** Deferred events that are checked in one turn. */
const CHECKED = 64
const DIED = JSON.stringify({ message: 'The process ended during the attempt' })

/** The workers that share the file: their leases, and what they listen to. All of it in one transaction. */
export class Workers {
  readonly #db: SqliteDatabase
  readonly #ledger: Ledger
  readonly #transitions: Transitions

  constructor (db: SqliteDatabase, ledger: Ledger, transitions: Transitions) {
    this.#db = db
    this.#ledger = ledger
    this.#transitions = transitions
  }

  /** Names what a worker listens to, whether it has turned or not. */
  listen (name: string, codes: Codes): void {
    const id = this.idOf(name) ?? this.#insert(name, FIRST_LEASE_MS, false)
    this.#listen(id, codes)
    this.#checkDeferred()
  }

  idOf (name: string): number | undefined {
    return this.#db.get<[number]>('SELECT id FROM workers WHERE name = ?', name)?.[0]
  }

  /** Renews the lease of a worker; where it is gone, begins another. */
  renew (name: string, leaseMs: number, codes: Codes): { id: number, isLeaseLost: boolean } {
    const known = this.#db.get<[number, number]>('SELECT id, has_turned FROM workers WHERE name = ?', name)
    if (known === undefined) {
      const id = this.#insert(name, leaseMs, true)
      this.#listen(id, codes)
      return { id, isLeaseLost: true }
    }
    const [id, hasTurned] = known
    this.#db.run('UPDATE workers SET lease_ends = ?, has_turned = 1 WHERE id = ?', this.#ledger.now + Math.ceil(leaseMs), id)
    return { id, isLeaseLost: hasTurned === 0 }
  }

  /** Removes a worker: its active events return to waiting. */
  leave (id: number): void {
    for (const running of this.#transitions.allRunning(id)) this.#transitions.giveBack(running)
    this.#remove(id)
  }

  /**
   * Takes over from workers whose lease is over.
   * @returns dead letters that this made, and whether there is more to take over
   */
  takeOver (attempts: number): { dead: DeadRow[], isMore: boolean } {
    const dead: DeadRow[] = []
    const gone = this.#db.all<[number]>('SELECT id FROM workers WHERE lease_ends <= ? LIMIT ?', this.#ledger.now, DEAD_WORKERS)
    for (const [id] of gone) {
      const running = this.#transitions.allRunning(id, TAKEN_OVER)
      for (const event of running) {
        const tried = event[3] + 1
        this.#transitions.crash(event)
        if (tried >= attempts) dead.push(this.#transitions.die(event, tried, DIED))
        else this.#transitions.putBack([...event.slice(0, 4), event[4] + 1, ...event.slice(5)] as typeof event, { attempts: tried, delayMs: 0, isRetry: false })
      }
      if (running.length === TAKEN_OVER) return { dead, isMore: true }
      this.#remove(id)
    }
    return { dead, isMore: gone.length === DEAD_WORKERS }
  }

  /** Whether another live worker listens to a code. */
  isHeardBeside (id: number, code: string): boolean {
    return this.#db.get('SELECT 1 FROM workers WHERE id <> ?1 AND lease_ends > ?2 AND (hears_all = 1 OR id IN (SELECT worker FROM listens WHERE code IN (?3, ?4))) LIMIT 1',
      id, this.#ledger.now, code, baseOf(code)) !== undefined
  }

  /** Makes waiting what others have left to a worker, up to a number. */
  takeBack (id: number, codes: Codes, limit: number): void {
    if (this.#ledger.deferred === 0 || limit === 0) return
    if (codes === undefined) {
      for (const row of this.#db.all<Place>(`SELECT seq, grp, lane FROM events WHERE state = ${DEFERRED} ORDER BY seq LIMIT ?`, limit)) this.#wait(row)
      return
    }
    let left = limit
    for (const column of ['base', 'code']) {
      const rows = this.#db.all<Place>(`SELECT seq, grp, lane FROM listens AS l CROSS JOIN events AS e ON e.state = ${DEFERRED} AND e.${column} = l.code WHERE l.worker = ? LIMIT ?`, id, left)
      for (const row of rows) this.#wait(row)
      left -= rows.length
      if (left === 0) return
    }
  }

  /**
   * Makes waiting what nobody listens to any more, since a worker has left or listens to less.
   * @returns whether there is more to look at
   */
  releaseUnheard (): boolean {
    const { recheckAfter } = this.#ledger
    if (recheckAfter < 0) return false
    const rows = this.#db.all<[number, number, number, string]>(`SELECT seq, grp, lane, code FROM events WHERE state = ${DEFERRED} AND seq > ? ORDER BY seq LIMIT ?`, recheckAfter, CHECKED)
    const heard = new Map<string, boolean>()
    for (const [seq, grp, lane, code] of rows) {
      let isHeard = heard.get(code)
      if (isHeard === undefined) heard.set(code, isHeard = this.isHeardBeside(0, code))
      if (!isHeard) this.#wait([seq, grp, lane])
    }
    this.#ledger.recheckAfter = rows.length === CHECKED ? rows[CHECKED - 1]![0] : -1
    return rows.length === CHECKED
  }

  #wait (row: Place): void {
    this.#ledger.deferred--
    this.#transitions.wait(...row)
  }

  #insert (name: string, leaseMs: number, hasTurned: boolean): number {
    const id = this.#db.get<[number]>('INSERT INTO workers (name, lease_ends, has_turned, hears_all) VALUES (?, ?, ?, 1) RETURNING id', name, this.#ledger.now + Math.ceil(leaseMs), Number(hasTurned))![0]
    // Somebody deleted the rows of these workers: their leases have expired.
    this.#db.run(`INSERT INTO workers (id, name, lease_ends, has_turned, hears_all)
      SELECT DISTINCT worker, 'lost ' || worker, 0, 1, 1 FROM events WHERE state = ${ACTIVE} AND worker NOT IN (SELECT id FROM workers)`)
    return id
  }

  #listen (id: number, codes: Codes): void {
    this.#db.run('UPDATE workers SET hears_all = ? WHERE id = ?', Number(codes === undefined), id)
    this.#db.run('DELETE FROM listens WHERE worker = ?', id)
    if (codes !== undefined) this.#db.run('INSERT INTO listens SELECT ?, value FROM json_each(?)', id, JSON.stringify([...codes]))
  }

  #remove (id: number): void {
    this.#db.run('DELETE FROM workers WHERE id = ?', id)
    this.#db.run('DELETE FROM listens WHERE worker = ?', id)
    this.#checkDeferred()
  }

  #checkDeferred (): void {
    if (this.#ledger.deferred > 0) this.#ledger.recheckAfter = 0
  }
}

/** Whether one who listens to `codes` listens to this one. */
export function isHeard (codes: Codes, code: string): boolean {
  return codes === undefined || codes.has(code) || codes.has(baseOf(code))
}
