import type { BegunEvent, DeadRow, EventStoreSettings, StoredOutcome, Turn, TurnResult } from '../event-store.ts'
import { RECENTLY_ACTIVE_MS, RESPONSIVE_MS } from '../fair-share.ts'
import type { SqliteDatabase } from './database.ts'
import type { Group, Ledger } from './counters.ts'
import { Rotation, WorkerSlots } from './rotation.ts'
import { DELAYED, HUNG, RESPONSIVE, UNTESTED, WAITING } from './schema.ts'
import type { Transitions } from './transitions.ts'
import { isHeard, type Codes, type Workers } from './workers.ts'

/** Delayed events that one turn makes waiting: of each the whole row is written. */
const PROMOTED = 32
/** Events that one turn comes to and does not begin, for their key is busy or others listen to them. */
const PASSED = 64
/** Groups that one turn forgets, of each class. */
const FORGOTTEN = 4
/** Marks of a group that has one are not renewed for so long, ms: each costs its indexes. */
const MARK_MS = 1_000

/** The first event of a group. */
type Row = [seq: number, code: string, key: string | null, attempts: number, coalesced: number, progress: string | null, body: string, isBusy: number, hasMore: number]
const FIRST = `SELECT seq, code, key, attempts, coalesced, progress, body,
  EXISTS (SELECT 1 FROM events AS holder WHERE holder.holds_key = 1 AND holder.key = events.key AND holder.seq <> events.seq),
  EXISTS (SELECT 1 FROM events AS more WHERE more.state = ${WAITING} AND more.lane = events.lane AND more.grp = events.grp AND more.seq > events.seq)
  FROM events WHERE state = ${WAITING} AND lane = ? AND grp = ? AND seq > ? ORDER BY seq LIMIT 1`

export interface TurnParts {
  db: SqliteDatabase
  ledger: Ledger
  transitions: Transitions
  workers: Workers
}

/** One step of a worker, in one transaction. */
export function takeTurn (parts: TurnParts, turn: Turn, codes: Codes, settings: EventStoreSettings): TurnResult {
  const { db, ledger, transitions, workers } = parts
  if (turn.leaseMs === 0) return leave(parts, turn, settings)
  const { id, isLeaseLost } = workers.renew(turn.worker, turn.leaseMs, codes)
  const dead = end(transitions, id, turn.outcomes)
  giveBackLost(parts, id, turn)
  markGroups(ledger, turn)
  const taken = workers.takeOver(settings.attempts)
  dead.push(...taken.dead)
  const hasMore = [taken.isMore, promote(parts), workers.releaseUnheard()]
  workers.takeBack(id, codes, turn.free)
  forgetGroups(db, ledger)
  const { begun, isCut } = begin(parts, turn, id, codes)
  const evicted = transitions.dead.trim(settings.deadLetters)
  const dueInMs = isCut || hasMore.includes(true) ? 0 : untilDue(db, ledger)
  return { begun, dead, dueInMs, evicted, isLeaseLost }
}

function leave ({ transitions, workers }: TurnParts, { worker, outcomes }: Turn, settings: EventStoreSettings): TurnResult {
  const id = workers.idOf(worker)
  const dead = id === undefined ? [] : end(transitions, id, outcomes)
  if (id !== undefined) workers.leave(id)
  return { begun: [], dead, dueInMs: undefined, evicted: transitions.dead.trim(settings.deadLetters), isLeaseLost: id === undefined }
}

/**
 * Stores what became of events, unless another worker has them.
 * @returns those that are dead letters now
 */
function end (transitions: Transitions, worker: number, outcomes: readonly StoredOutcome[]): DeadRow[] {
  const dead: DeadRow[] = []
  transitions.done(worker, outcomes.filter(({ status }) => status === 'done').map(({ seq }) => Number(seq)))
  for (const outcome of outcomes) {
    const running = outcome.status === 'done' ? undefined : transitions.running(worker, outcome.seq)
    if (running === undefined) continue
    if (outcome.status === 'dead') dead.push(transitions.die(running, outcome.attempts, outcome.error))
    if (outcome.status === 'wait') transitions.putBack(running, outcome)
  }
  return dead
}

/** Gives back what a worker has begun and does not know of. */
function giveBackLost ({ transitions }: TurnParts, worker: number, { runs }: Turn): void {
  if (runs === undefined) return
  const known = new Set(runs)
  for (const seq of transitions.seqsOf(worker)) {
    const running = known.has(seq) ? undefined : transitions.running(worker, seq)
    if (running !== undefined) transitions.giveBack(running)
  }
}

function markGroups (ledger: Ledger, { hung, responsive }: Turn): void {
  for (const [names, kind] of [[hung, HUNG], [responsive, RESPONSIVE]] as const) {
    for (const name of names) {
      if (name.startsWith('?')) continue
      const group = ledger.groupNamed(name)
      if (group.class !== kind || ledger.now - group.markedAt >= MARK_MS) ledger.mark(group, kind)
    }
  }
}

/** @returns whether there is more to promote */
function promote ({ db, ledger, transitions }: TurnParts): boolean {
  const rows = db.all<[number, number, number]>(`SELECT seq, grp, lane FROM events WHERE state = ${DELAYED} AND due <= ? ORDER BY due LIMIT ${PROMOTED}`, ledger.now)
  for (const row of rows) transitions.wait(...row)
  return rows.length === PROMOTED
}

/** Groups of which nothing was heard lately: a responsive one is untested again, one that has nothing is forgotten. */
function forgetGroups (db: SqliteDatabase, ledger: Ledger): void {
  for (const [kind, afterMs] of [[RESPONSIVE, RESPONSIVE_MS], [UNTESTED, RECENTLY_ACTIVE_MS], [HUNG, RECENTLY_ACTIVE_MS]] as const) {
    const ids = db.all<[number]>(`SELECT id FROM groups WHERE class = ? AND marked_at > 0 AND marked_at <= ? LIMIT ${FORGOTTEN}`, kind, ledger.now - afterMs)
    for (const [id] of ids) ledger.forget(ledger.group(id))
  }
}

function untilDue (db: SqliteDatabase, { now }: Ledger): number | undefined {
  const next = db.get<[number]>(`SELECT due FROM events WHERE state = ${DELAYED} ORDER BY due LIMIT 1`)
  return next && Math.max(0, next[0] - now)
}

/** @returns what was begun, and whether it stopped before it came to the end */
function begin ({ db, ledger, transitions, workers }: TurnParts, turn: Turn, worker: number, codes: Codes): { begun: BegunEvent[], isCut: boolean } {
  const begun: BegunEvent[] = []
  if (turn.free === 0) return { begun, isCut: false }
  ledger.savePlaces()
  const slots = new WorkerSlots(db, ledger, turn)
  const heardBeside = new Map<string, boolean>()
  /** What is stored as begun at the end: their keys, and the last one of each group. */
  const keys = new Set<string>()
  const last = new Map<Group, number>()
  let left = PASSED
  for (const lane of [0, 1] as const) {
    const rotation = new Rotation(db, ledger, slots, lane)
    last.clear()
    while (begun.length < turn.free && left > 0) {
      const group = rotation.next()
      if (group === undefined) break
      let row = first(group, lane)
      for (; row !== undefined && left > 0 && passes(row, lane); row = first(group, lane)) left--
      if (row === undefined) {
        rotation.turned(group, false)
      } else if (left > 0) {
        const [seq, , key, attempts, coalesced, progress, body, , hasMore] = row
        if (key !== null) keys.add(key)
        last.set(group, seq)
        begun.push({ seq: `${seq}`, group: group.name, groupState: slots.take(group, lane), body, attempts, coalesced, progress: progress ?? undefined })
        rotation.turned(group, hasMore === 1)
      }
    }
  }
  transitions.begin(begun.map(({ seq }) => Number(seq)), worker)
  return { begun, isCut: left === 0 }

  function first (group: Group, lane: number): Row | undefined {
    return db.get<Row>(FIRST, lane, group.id, last.get(group) ?? 0)
  }

  /** Whether an event is not for now, or not for this worker. */
  function passes ([seq, code, key, , , , , isBusy]: Row, lane: number): boolean {
    if (key !== null && (isBusy === 1 || keys.has(key))) {
      transitions.block(seq)
      return true
    }
    if (lane === 0 || isHeard(codes, code)) return false
    let isElsewhere = heardBeside.get(code)
    if (isElsewhere === undefined) heardBeside.set(code, isElsewhere = workers.isHeardBeside(worker, code))
    if (isElsewhere) transitions.defer(seq)
    return isElsewhere
  }
}
