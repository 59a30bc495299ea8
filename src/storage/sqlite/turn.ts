import type { BegunEvent, DeadRow, EventStoreSettings, StoredOutcome, Turn, TurnResult } from '../event-store.ts'
import { LATELY_MS, RESPONSIVE_MS } from '../fair-share.ts'
import type { SqliteDatabase } from './database.ts'
import type { Group, Ledger } from './ledger.ts'
import { Rotation, WorkerPlaces } from './rotation.ts'
import { DELAYED, HUNG, RESPONSIVE, UNTESTED, WAITING } from './schema.ts'
import type { Transitions } from './transitions.ts'
import { isHeard, type Codes, type Workers } from './workers.ts'

/** Delayed events that one turn makes waiting. */
const PROMOTED = 256
/** Events that one turn comes to and does not begin, for their key is busy or others listen to them. */
const PASSED = 128
/** Groups that one turn forgets, of each class. */
const FORGOTTEN = 4
/** Marks of a group that has one are not renewed for so long, ms: each costs its indexes. */
const MARK_MS = 1_000

type Row = [seq: number, code: string, key: string | null, attempts: number, coalesced: number, progress: string | null, body: string]

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
  const dead = turn.outcomes.flatMap(outcome => end(transitions, id, outcome) ?? [])
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
  const dead = id === undefined ? [] : outcomes.flatMap(outcome => end(transitions, id, outcome) ?? [])
  if (id !== undefined) workers.leave(id)
  return { begun: [], dead, dueInMs: undefined, evicted: transitions.dead.trim(settings.deadLetters), isLeaseLost: id === undefined }
}

/** Stores what became of an event, unless another worker has it. */
function end (transitions: Transitions, worker: number, outcome: StoredOutcome): DeadRow | undefined {
  const running = outcome.status === 'done' ? undefined : transitions.running(worker, outcome.seq)
  if (outcome.status === 'done') transitions.done(worker, outcome.seq)
  else if (running !== undefined && outcome.status === 'dead') return transitions.die(running, outcome.attempts, outcome.error)
  else if (running !== undefined && outcome.status === 'wait') transitions.putBack(running, outcome)
  return undefined
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
  for (const [kind, afterMs] of [[RESPONSIVE, RESPONSIVE_MS], [UNTESTED, LATELY_MS], [HUNG, LATELY_MS]] as const) {
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
  const places = new WorkerPlaces(db, ledger, turn)
  const heardBeside = new Map<string, boolean>()
  let left = PASSED
  for (const lane of [0, 1] as const) {
    const rotation = new Rotation(db, ledger, places, lane)
    while (begun.length < turn.free && left > 0) {
      const group = rotation.next()
      if (group === undefined) break
      let row = first(group, lane)
      for (; row !== undefined && left > 0 && passes(row, lane); row = first(group, lane)) left--
      if (row === undefined) {
        rotation.turned(group, false)
      } else if (left > 0) {
        const [seq, , , attempts, coalesced, progress, body] = row
        transitions.begin(seq, worker)
        begun.push({ seq: `${seq}`, group: group.name, groupState: places.take(group, lane), body, attempts, coalesced, progress: progress ?? undefined })
        rotation.turned(group, db.get(`SELECT 1 FROM events WHERE state = ${WAITING} AND lane = ? AND grp = ? LIMIT 1`, lane, group.id) !== undefined)
      }
    }
  }
  return { begun, isCut: left === 0 }

  function first (group: Group, lane: number): Row | undefined {
    return db.get<Row>(`SELECT seq, code, key, attempts, coalesced, progress, body FROM events WHERE state = ${WAITING} AND lane = ? AND grp = ? ORDER BY seq LIMIT 1`, lane, group.id)
  }

  /** Whether an event is not for now, or not for this worker. */
  function passes ([seq, code, key]: Row, lane: number): boolean {
    if (lane === 1 && !isHeard(codes, code)) {
      let isElsewhere = heardBeside.get(code)
      if (isElsewhere === undefined) heardBeside.set(code, isElsewhere = workers.isHeardBeside(worker, code))
      if (isElsewhere) {
        transitions.defer(seq, key)
        return true
      }
    }
    if (key === null || !transitions.isBusy(key)) return false
    transitions.block(seq)
    return true
  }
}
