import { GROUP_SHARE, MAX_UNVERIFIED_BYTES } from '../event-store.ts'
import type { SqliteDatabase } from './database.ts'
import { HUNG, RESPONSIVE, UNTESTED, UNVERIFIED } from './schema.ts'

/** One who takes turns. */
export interface Group {
  readonly id: number
  readonly name: string
  class: number
  responsiveAt: number
  markedAt: number
  bytes: number
  /** Its turn among the groups that have something waiting, by lane; `null`: it has nothing. */
  readonly places: [number | null, number | null]
  /** What is not stored yet. */
  isChanged: boolean
  isPlaced: boolean
  isMarked: boolean
}

/** Columns of a group, as `Ledger.groupOf` reads them. */
export const GROUP = 'id, name, class, responsive_at, marked_at, bytes, place0, place1'
export type GroupRow = [number, string, number, number, number, number, number | null, number | null]

type CounterRow = [number, number, number, number, number, number, number, number, number, number, number, number, number, number]

/** Keeps one process from following a clock that was set back. */
export interface Clock {
  /** ms that are added to the time of the machine. */
  offset: number
}

/**
 * What one transaction counts: read once, stored once by `save`.
 *
 * Its time never goes back, whatever the clock of the machine does, so that nothing waits longer than it was to.
 */
export class Ledger {
  /** ms. */
  readonly now: number
  seq: number
  place: number
  death: number
  arrivals: number
  waiting: number
  active: number
  blocked: number
  deferred: number
  bytes: number
  unverifiedBytes: number
  dead: number
  deadBytes: number
  recheckAfter: number
  readonly #db: SqliteDatabase
  readonly #groups = new Map<number, Group>()
  readonly #names = new Map<string, Group>()

  constructor (db: SqliteDatabase, clock: Clock) {
    this.#db = db
    const [last, ...counters] = db.get<CounterRow>(`SELECT clock, seq, place, death, arrivals, waiting, active, blocked, deferred, bytes, unverified_bytes, dead, dead_bytes, recheck_after
      FROM counters WHERE id = 1`)!
    clock.offset = Math.max(clock.offset, last - Date.now())
    this.now = Date.now() + clock.offset;
    [this.seq, this.place, this.death, this.arrivals, this.waiting, this.active, this.blocked, this.deferred, this.bytes, this.unverifiedBytes, this.dead, this.deadBytes, this.recheckAfter] = counters
  }

  group (id: number): Group {
    return this.#groups.get(id) ?? this.groupOf(this.#db.get<GroupRow>(`SELECT ${GROUP} FROM groups WHERE id = ?`, id) ?? this.#newGroup(`? lost ${id}`, id))
  }

  /** The group of a name; a new one where there is none. */
  groupNamed (name: string): Group {
    const text = textOf(name)
    return this.#names.get(name) ?? this.groupOf(this.#db.get<GroupRow>(`SELECT ${GROUP} FROM groups WHERE name = ?`, text) ?? this.#newGroup(text, null))
  }

  /** The group of a row, with what this transaction has changed already. */
  groupOf ([id, text, kind, responsiveAt, markedAt, bytes, place0, place1]: GroupRow): Group {
    let group = this.#groups.get(id)
    if (group === undefined) {
      const name = nameOf(text)
      group = { id, name, class: kind, responsiveAt, markedAt, bytes, places: [place0, place1], isChanged: false, isPlaced: false, isMarked: false }
      this.#groups.set(id, group)
      this.#names.set(name, group)
    }
    return group
  }

  /** Whether a group would have more bytes than its share if it had so many more. */
  isOverShare (group: Group, bytes: number, maxWaitingBytes: number): boolean {
    const [total, all] = group.class === UNVERIFIED ? [MAX_UNVERIFIED_BYTES, this.unverifiedBytes] : [maxWaitingBytes, this.bytes]
    return group.bytes + bytes > GROUP_SHARE * (total - (all - group.bytes))
  }

  /** Counts bytes of events to a group; negative for those that leave. */
  charge (group: Group, bytes: number): void {
    group.bytes += bytes
    group.isChanged = true
    if (group.class === UNVERIFIED) this.unverifiedBytes += bytes
    else this.bytes += bytes
  }

  /** A group has something waiting now, and takes its turn behind all others unless it has one. */
  line (group: Group, lane: number): void {
    this.arrivals++
    if (group.places[lane] === null) this.setPlace(group, lane, ++this.place)
  }

  setPlace (group: Group, lane: number, place: number | null): void {
    group.places[lane] = place
    group.isPlaced = true
  }

  /** A run of a group has ended well, or has hung. */
  mark (group: Group, kind: number): void {
    group.class = kind
    group.markedAt = this.now
    if (kind !== HUNG) group.responsiveAt = this.now
    group.isMarked = true
  }

  /** Nothing was heard of a group lately. */
  forget (group: Group): void {
    if (group.class === HUNG && group.bytes > 0) {
      group.markedAt = this.now
    } else {
      if (group.class !== RESPONSIVE) group.markedAt = 0
      group.class = UNTESTED
    }
    group.isMarked = true
  }

  /** Flushes pending turns before a query that reads them. */
  savePlaces (): void {
    for (const group of this.#groups.values()) if (group.isPlaced || group.isMarked) this.#saveGroup(group)
  }

  save (): void {
    for (const group of this.#groups.values()) if (group.isChanged || group.isPlaced || group.isMarked) this.#saveGroup(group)
    this.#db.run(`UPDATE counters SET clock = ?, seq = ?, place = ?, death = ?, arrivals = ?, waiting = ?, active = ?, blocked = ?, deferred = ?, bytes = ?, unverified_bytes = ?, dead = ?, dead_bytes = ?,
      recheck_after = ? WHERE id = 1`,
    this.now, this.seq, this.place, this.death, this.arrivals, this.waiting, this.active, this.blocked, this.deferred, this.bytes, this.unverifiedBytes, this.dead, this.deadBytes, this.recheckAfter)
  }

  #saveGroup (group: Group): void {
    const { id, bytes, places: [place0, place1], isMarked, isPlaced } = group
    const isEmpty = bytes === 0 && group.markedAt === 0 && place0 === null && place1 === null
    if (isEmpty && this.#db.run('DELETE FROM groups WHERE id = ? AND dead_bytes = 0', id) === 1) {
      this.#groups.delete(id)
      this.#names.delete(group.name)
      return
    }
    // Each column that is named costs its indexes.
    if (isMarked) {
      this.#db.run('UPDATE groups SET class = ?, responsive_at = ?, marked_at = ?, bytes = ?, place0 = ?, place1 = ? WHERE id = ?', group.class, group.responsiveAt, group.markedAt, bytes, place0, place1, id)
    } else if (isPlaced) {
      this.#db.run('UPDATE groups SET bytes = ?, place0 = ?, place1 = ? WHERE id = ?', bytes, place0, place1, id)
    } else {
      this.#db.run('UPDATE groups SET bytes = ? WHERE id = ?', bytes, id)
    }
    group.isChanged = group.isPlaced = group.isMarked = false
  }

  #newGroup (text: string, id: number | null): GroupRow {
    return this.#db.get<GroupRow>(`INSERT INTO groups (id, name, class) VALUES (?, ?, ?) RETURNING ${GROUP}`, id, text, text.startsWith('?') ? UNVERIFIED : UNTESTED)!
  }
}

/** How a name is stored: the binding ends a text at its first NUL. */
function textOf (name: string): string {
  return name.replace(/[\0\\]/g, character => character === '\0' ? '\\0' : '\\\\')
}

function nameOf (text: string): string {
  return text.replace(/\\[0\\]/g, escaped => escaped === '\\0' ? '\0' : '\\')
}
