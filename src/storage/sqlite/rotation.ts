import type { Turn, GroupState } from '../event-store.ts'
import { hasFreeSlot, RECENTLY_ACTIVE_MS, RESPONSIVE_MS, RESPONSIVE_SHARE, HUNG_SHARE, UNTESTED_SHARE, UNVERIFIED_SHARE, type SlotUsage } from '../fair-share.ts'
import type { SqliteDatabase } from './database.ts'
import { GROUP, type Group, type GroupRow, type Ledger } from './counters.ts'
import { HUNG, RESPONSIVE, UNTESTED, UNVERIFIED } from './schema.ts'

const CLASSES = [RESPONSIVE, UNTESTED, HUNG, UNVERIFIED]
/** Groups that are read at once. */
const PAGE = 32
/** Groups of a class that has no room, read to know whether one is alone, which has room. */
const GLANCE = 2

/** Slots of a worker: which groups use them, and which may use another. */
export class WorkerSlots {
  readonly #db: SqliteDatabase
  readonly #ledger: Ledger
  readonly #slots: SlotUsage
  readonly #own = new Map<string, { own: number, most: number }>()
  #lately: number[] | undefined

  constructor (db: SqliteDatabase, ledger: Ledger, { concurrency, running, runningOf }: Turn) {
    this.#db = db
    this.#ledger = ledger
    for (const [name, { own, most }] of Object.entries(running)) this.#own.set(name, { own, most })
    this.#slots = { concurrency, all: [...this.#own.values()].reduce((sum, { own }) => sum + own, 0), ...runningOf }
  }

  /** `isAmongOthers`: other groups have something waiting in this lane. */
  hasFreeSlot (group: Group, lane: number, isAmongOthers: boolean): boolean {
    const { own, most } = this.#own.get(group.name) ?? { own: 0, most: 1 }
    const state = this.#stateOf(group, lane)
    if (lane === 0 && state === 'responsive' && (own === 0 || own + 1 <= RESPONSIVE_SHARE * (this.#slots.concurrency - this.#slots.all - 1))) return true
    if (hasFreeSlot(state, { own, most, isAlone: false }, this.#slots)) return true
    if (group.class === UNVERIFIED && own >= Math.max(1, Math.floor(this.#slots.concurrency * UNVERIFIED_SHARE))) return false
    return !isAmongOthers && hasFreeSlot(state, { own, most, isAlone: true }, this.#slots) && this.#isAlone(group)
  }

  /** Whether any group of a class may have a place that has none. */
  hasClassRoom (kind: number, lane: number): boolean {
    const { concurrency, untested, hung } = this.#slots
    if (kind === RESPONSIVE || (lane === 0 && kind !== UNVERIFIED)) return true
    if (kind === HUNG && hung >= Math.max(1, Math.floor(concurrency * HUNG_SHARE))) return false
    return untested < Math.max(1, Math.floor(concurrency * UNTESTED_SHARE))
  }

  take (group: Group, lane: number): GroupState {
    const state = this.#stateOf(group, lane)
    const places = this.#own.get(group.name)
    if (places === undefined) this.#own.set(group.name, { own: 1, most: 1 })
    else places.own++
    this.#slots.all++
    if (state !== 'responsive') this.#slots.untested++
    if (state === 'hung') this.#slots.hung++
    return state
  }

  /** Priority events of verified groups are begun whatever their group is known for. */
  #stateOf (group: Group, lane: number): GroupState {
    if (lane === 0 && group.class !== UNVERIFIED) return 'responsive'
    if (group.class === HUNG) return 'hung'
    return group.class === RESPONSIVE && group.responsiveAt > this.#ledger.now - RESPONSIVE_MS ? 'responsive' : 'untested'
  }

  /** No other group runs, and none was responsive lately. */
  #isAlone (group: Group): boolean {
    for (const [name, { own }] of this.#own) if (own > 0 && name !== group.name) return false
    this.#lately ??= [RESPONSIVE, UNTESTED].flatMap(kind => this.#db.all<[number]>('SELECT id FROM groups WHERE class = ? AND marked_at > ? AND responsive_at > ? LIMIT 2',
      kind, this.#ledger.now - RECENTLY_ACTIVE_MS, this.#ledger.now - RECENTLY_ACTIVE_MS).flat())
    return this.#lately.every(id => id === group.id)
  }
}

/** Groups that have something waiting in a lane, in the order of their turns. */
export class Rotation {
  readonly #db: SqliteDatabase
  readonly #ledger: Ledger
  readonly #slots: WorkerSlots
  readonly #lane: number
  readonly #sql: string
  /** Those that were read and have not had their turn. */
  #page: Group[] = []
  /** Those that had a turn, and have more. */
  readonly #again: Group[] = []
  #after = -1
  #isAllRead = false
  #isAmongOthers = false

  constructor (db: SqliteDatabase, ledger: Ledger, slots: WorkerSlots, lane: 0 | 1) {
    this.#db = db
    this.#ledger = ledger
    this.#slots = slots
    this.#lane = lane
    this.#sql = SQL[lane]
  }

  /** The next group that may have a place. */
  next (): Group | undefined {
    for (;;) {
      const group = this.#take()
      if (group === undefined || this.#slots.hasFreeSlot(group, this.#lane, this.#isAmongOthers)) return group
    }
  }

  /** A group had its turn: with more waiting it has another behind all others. */
  turned (group: Group, hasMore: boolean): void {
    this.#ledger.setPlace(group, this.#lane, hasMore ? ++this.#ledger.place : null)
    if (hasMore) this.#again.push(group)
  }

  #take (): Group | undefined {
    if (this.#page.length === 0 && !this.#isAllRead) this.#read()
    return this.#page.shift() ?? this.#again.shift()
  }

  #read (): void {
    const limits = CLASSES.map(kind => this.#slots.hasClassRoom(kind, this.#lane) ? PAGE : GLANCE)
    const rows = this.#db.all<GroupRow>(this.#sql, this.#after, ...limits, PAGE)
    this.#page = rows.map(row => this.#ledger.groupOf(row))
    this.#isAllRead = rows.length < PAGE
    this.#isAmongOthers ||= rows.length > 1
    const last = rows.at(-1)
    if (last !== undefined) this.#after = last[6 + this.#lane] as number
  }
}

/** The next groups of each class, for a lane. */
const SQL = ['place0', 'place1'].map(place => `${CLASSES.map((kind, i) =>
  `SELECT * FROM (SELECT ${GROUP} FROM groups WHERE class = ${kind} AND ${place} > ?1 ORDER BY ${place} LIMIT ?${i + 2})`).join(' UNION ALL ')} ORDER BY ${place} LIMIT ?6`) as [string, string]
