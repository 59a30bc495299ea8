import { EVENT_OVERHEAD_BYTES, type AddResult, type DeadRow, type NewEvent } from '../event-store.ts'
import type { SqliteDatabase } from './database.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Ledger } from './counters.ts'
import { ACTIVE, BLOCKED, DEFERRED, DELAYED, WAITING } from './schema.ts'

/** Columns of what ends, as `Transitions.running` reads them. */
const ENDING = 'seq, grp, lane, attempts, crashes, size, key, dedup'
/** What a worker runs. */
export type Running = [seq: number, grp: number, lane: number, attempts: number, crashes: number, size: number, key: string | null, dedup: string | null]
type Pending = [seq: number, grp: number, state: number, lane: number, isRetry: number, size: number, coalesced: number]

/** The states of an event: how it comes to each. All of it in one transaction. */
export class Transitions {
  readonly #db: SqliteDatabase
  readonly #ledger: Ledger
  readonly dead: DeadLetters

  constructor (db: SqliteDatabase, ledger: Ledger) {
    this.#db = db
    this.#ledger = ledger
    this.dead = new DeadLetters(db, ledger)
  }

  add ({ id, group: name, code, isPriority, key, dedup, body }: NewEvent, maxWaitingBytes: number): AddResult {
    const size = Buffer.byteLength(body) + EVENT_OVERHEAD_BYTES
    const group = this.#ledger.groupNamed(name)
    // One that has nothing is not to stay.
    group.isChanged = true
    const lane = isPriority ? 0 : 1
    const hasRoom = !this.#ledger.isOverShare(group, size, maxWaitingBytes)
    // Of what is pending with this `dedup` there can be no second one.
    if (hasRoom && this.#db.run('INSERT OR IGNORE INTO events (seq, grp, state, lane, size, id, code, base, key, dedup, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      this.#ledger.seq + 1, group.id, WAITING, lane, size, id, code, baseOf(code), key ?? null, dedup ?? null, body) === 1) {
      this.#ledger.seq++
      this.#ledger.waiting++
      this.#ledger.charge(group, size)
      this.#ledger.line(group, lane)
      return 'stored'
    }
    const pending = dedup === undefined ? undefined : this.#pendingOf(dedup)
    if (pending === undefined) return 'over_share'
    const growth = size - pending[5]
    if (growth > 0 && this.#ledger.isOverShare(this.#ledger.group(pending[1]), growth, maxWaitingBytes)) return 'over_share'
    this.#coalesce(pending, 1, body, size)
    return 'coalesced'
  }

  /** What a worker runs, by its `seq`. */
  running (worker: number, seq: string): Running | undefined {
    return this.#db.get<Running>(`SELECT ${ENDING} FROM events WHERE seq = ? AND state = ${ACTIVE} AND worker = ?`, Number(seq), worker)
  }

  /** What a worker runs, oldest first. */
  allRunning (worker: number, limit = -1): Running[] {
    return this.#db.all<Running>(`SELECT ${ENDING} FROM events WHERE worker = ? AND state = ${ACTIVE} ORDER BY seq LIMIT ?`, worker, limit)
  }

  seqsOf (worker: number): string[] {
    return this.#db.all<[number]>(`SELECT seq FROM events WHERE worker = ? AND state = ${ACTIVE}`, worker).map(([seq]) => `${seq}`)
  }

  begin (seqs: readonly number[], worker: number): void {
    if (seqs.length === 0) return
    this.#db.run(`UPDATE events SET state = ${ACTIVE}, worker = ?, holds_key = 1 WHERE seq IN (SELECT value FROM json_each(?))`, worker, JSON.stringify(seqs))
    this.#ledger.waiting -= seqs.length
    this.#ledger.active += seqs.length
  }

  block (seq: number): void {
    this.#db.run(`UPDATE events SET state = ${BLOCKED} WHERE seq = ?`, seq)
    this.#ledger.blocked++
  }

  /** Those of its key that come after it wait for its end. */
  defer (seq: number): void {
    this.#db.run(`UPDATE events SET state = ${DEFERRED}, holds_key = 1 WHERE seq = ?`, seq)
    this.#ledger.deferred++
  }

  /** Makes waiting what is blocked, delayed or deferred. */
  wait (seq: number, grp: number, lane: number, holdsKey = 0): void {
    this.#db.run(`UPDATE events SET state = ${WAITING}, holds_key = holds_key | ? WHERE seq = ?`, holdsKey, seq)
    this.#ledger.line(this.#ledger.group(grp), lane)
  }

  /** Ends what a worker has handled. */
  done (worker: number, seqs: readonly number[]): void {
    if (seqs.length === 0) return
    const ended = this.#db.all<[number, number, string | null]>(`DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?)) AND state = ${ACTIVE} AND worker = ? RETURNING grp, size, key`,
      JSON.stringify(seqs), worker)
    for (const [grp, size, key] of ended) {
      this.#ledger.active--
      this.#ledger.charge(this.#ledger.group(grp), -size)
      this.#unblock(key)
    }
  }

  /** Puts back what was begun; a repeat that came meanwhile becomes one with it, and what failed is then tried at once. */
  putBack ([seq, grp, lane, , crashes, size, key, dedup]: Running, { attempts, delayMs, isRetry }: { attempts: number, delayMs: number, isRetry: boolean }): void {
    const repeat = dedup === null ? undefined : this.#pendingOf(dedup)
    if (repeat !== undefined) this.#merge(repeat, seq, grp, size)
    const isNow = delayMs <= 0 || (repeat !== undefined && isRetry)
    this.#db.run('UPDATE events SET state = ?, worker = NULL, holds_key = ?, due = ?, is_retry = ?, attempts = ? WHERE seq = ?',
      isNow ? WAITING : DELAYED, Number(isNow), this.#ledger.now + Math.ceil(delayMs), Number(isRetry), repeat === undefined ? attempts : crashes, seq)
    this.#ledger.active--
    this.#ledger.waiting++
    if (isNow) this.#ledger.line(this.#ledger.group(grp), lane)
    else this.#unblock(key)
  }

  /** Puts back what was begun and not tried. */
  giveBack (running: Running): void {
    this.putBack(running, { attempts: running[3], delayMs: 0, isRetry: false })
  }

  crash ([seq]: Running): void {
    this.#db.run('UPDATE events SET crashes = crashes + 1 WHERE seq = ?', seq)
  }

  die ([seq, grp, , , , size, key]: Running, attempts: number, error: string): DeadRow {
    const row = this.dead.add(seq, attempts, error)
    this.#db.run('DELETE FROM events WHERE seq = ?', seq)
    this.#ledger.active--
    this.#ledger.charge(this.#ledger.group(grp), -size)
    this.#unblock(key)
    return row
  }

  replay (id: string): boolean {
    const row = this.#db.get<[number, number, number, number, string, string | null]>('SELECT grp, lane, size, coalesced, code, dedup FROM dead WHERE id = ?', id)
    if (row === undefined) return false
    const [grp, lane, size, coalesced, code, dedup] = row
    const pending = dedup === null ? undefined : this.#pendingOf(dedup)
    if (pending !== undefined) {
      this.#coalesce(pending, coalesced)
    } else {
      this.#db.run(`INSERT INTO events (seq, grp, state, lane, coalesced, size, id, code, base, key, dedup, progress, body)
        SELECT ?, grp, ${WAITING}, lane, coalesced, size, id, code, ?, key, dedup, progress, body FROM dead WHERE id = ?`, ++this.#ledger.seq, baseOf(code), id)
      const group = this.#ledger.group(grp)
      this.#ledger.waiting++
      this.#ledger.charge(group, size)
      this.#ledger.line(group, lane)
    }
    return this.dead.discard(id)
  }

  #pendingOf (dedup: string): Pending | undefined {
    return this.#db.get<Pending>(`SELECT seq, grp, state, lane, is_retry, size, coalesced FROM events WHERE dedup = ? AND state <> ${ACTIVE}`, dedup)
  }

  /** A repeat becomes one with what is pending. Without a body, that of the pending one stays. */
  #coalesce ([seq, grp, state, lane, isRetry, before]: Pending, count: number, body: string | null = null, size = before): void {
    const isNow = state === DELAYED && isRetry === 1
    this.#db.run('UPDATE events SET body = coalesce(?, body), size = ?, coalesced = coalesced + ?, attempts = crashes, progress = NULL, state = ? WHERE seq = ?', body, size, count, isNow ? WAITING : state, seq)
    const group = this.#ledger.group(grp)
    this.#ledger.charge(group, size - before)
    if (isNow) this.#ledger.line(group, lane)
  }

  /** What is being put back takes in a repeat that waits. */
  #merge ([from, fromGroup, state, , , size, coalesced]: Pending, seq: number, grp: number, before: number): void {
    this.#db.run('UPDATE events SET body = (SELECT body FROM events WHERE seq = ?), size = ?, coalesced = coalesced + ?, progress = NULL WHERE seq = ?', from, size, coalesced, seq)
    this.#db.run('DELETE FROM events WHERE seq = ?', from)
    this.#ledger.waiting--
    if (state === BLOCKED) this.#ledger.blocked--
    if (state === DEFERRED) this.#ledger.deferred--
    this.#ledger.charge(this.#ledger.group(fromGroup), -size)
    this.#ledger.charge(this.#ledger.group(grp), size - before)
  }

  #unblock (key: string | null): void {
    if (key === null || this.#ledger.blocked === 0) return
    const next = this.#db.get<[number, number, number]>(`SELECT seq, grp, lane FROM events WHERE key = ? AND state = ${BLOCKED} ORDER BY seq LIMIT 1`, key)
    if (next === undefined) return
    this.#ledger.blocked--
    // An event of another group that arrived later must not start before it.
    this.wait(...next, 1)
  }
}

/** A code without its type: events of one type are of all too. */
export function baseOf (code: string): string {
  return code.replace(/_\d+$/, '')
}
