import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { temporaryFolder } from '../../helpers/app.ts'
import type { StoredOutcome, Turn } from '../../../src/storage/event-store.ts'
import type { SqliteDatabase } from '../../../src/storage/sqlite/database.ts'
import { SqliteEvents } from '../../../src/storage/sqlite/events.ts'
import { openDatabase } from './database.ts'

t.setTimeout(200_000)

const SETTINGS = { attempts: 3, deadLetters: { maxAgeMs: 60_000, maxCount: 6, maxBytes: 6_000 }, maxWaitingBytes: 40_000 }
const CODES = ['A', 'A_1', 'B', 'C']
const WORKERS = ['w1', 'w2', 'w3']

const adds = fc.record({
  op: fc.constant('add' as const),
  group: fc.constantFrom('a', 'b', 'c', '? 192.0.2.1'),
  code: fc.constantFrom(...CODES),
  isPriority: fc.boolean(),
  key: fc.option(fc.constantFrom('k', 'l'), { nil: undefined }),
  isRepeated: fc.boolean(),
  body: fc.string({ maxLength: 900 })
})
const turns = fc.record({
  op: fc.constant('turn' as const),
  worker: fc.constantFrom(...WORKERS),
  free: fc.nat(4),
  leaseMs: fc.constantFrom(0, 1, 60_000),
  ends: fc.array(fc.constantFrom('done', 'retry', 'later', 'delayed', 'dead', 'none'), { maxLength: 6 }),
  mark: fc.constantFrom('responsive', 'hung', 'none')
})
const listens = fc.record({ op: fc.constant('listen' as const), worker: fc.constantFrom(...WORKERS), codes: fc.option(fc.subarray(CODES), { nil: undefined }) })
const letters = fc.record({ op: fc.constantFrom('replay' as const, 'discard' as const), nth: fc.nat(5) })
const operations = fc.array(fc.oneof({ weight: 4, arbitrary: adds }, { weight: 4, arbitrary: turns }, listens, letters), { minLength: 20, maxLength: 60 })
type Operation = (typeof operations extends fc.Arbitrary<infer T> ? T : never)[number]

t.test('what is counted is what is there, whatever happened; and nothing is stuck', async t => {
  await fc.assert(fc.asyncProperty(operations, async operations => {
    const db = await openDatabase(temporaryFolder(t))
    t.teardown(() => db.close())
    const player = new Player(new SqliteEvents(db, SETTINGS))
    for (const operation of operations) {
      await player.play(operation)
      compare(db)
    }
    await player.drain()
    compare(db)
  }), { numRuns: 60, includeErrorInReport: true })
  t.pass('holds')
})

class Player {
  readonly #store: SqliteEvents
  readonly #running = new Map<string, string[]>()
  #ids = 0

  constructor (store: SqliteEvents) {
    this.#store = store
  }

  async play (operation: Operation): Promise<void> {
    if (operation.op === 'add') {
      const { group, code, isPriority, key, isRepeated, body } = operation
      await this.#store.add([{ id: `${++this.#ids}`, group, code, isPriority, key, dedup: isRepeated && key !== undefined ? `${code} ${key}` : undefined, body }])
    } else if (operation.op === 'turn') {
      const { worker, free, leaseMs, ends, mark } = operation
      const running = this.#running.get(worker) ?? []
      const outcomes = running.slice(0, ends.length).flatMap((seq, i) => outcomeOf(seq, ends[i]!) ?? [])
      const { begun } = await this.#store.turn(turnOf({ worker, leaseMs, free: leaseMs === 0 ? 0 : free, outcomes, responsive: mark === 'responsive' ? ['a'] : [], hung: mark === 'hung' ? ['b'] : [] }))
      const ended = new Set(outcomes.map(({ seq }) => seq))
      this.#running.set(worker, leaseMs === 0 ? [] : [...running.filter(seq => !ended.has(seq)), ...begun.map(({ seq }) => seq)])
    } else if (operation.op === 'listen') {
      await this.#store.listen(operation.worker, operation.codes)
    } else {
      const dead = await this.#store.listDead(undefined, 10)
      const id = dead[operation.nth]?.id ?? 'nothing'
      assert.equal(await this.#store[operation.op](id), dead[operation.nth] !== undefined)
    }
  }

  /** Handles all that is left. */
  async drain (): Promise<void> {
    for (const worker of WORKERS) await this.#store.turn(turnOf({ worker, leaseMs: 0 }))
    let outcomes: StoredOutcome[] = []
    for (let turns = 0; ; turns++) {
      assert.ok(turns < 2_000, `nothing is stuck: ${JSON.stringify(await this.#store.counts())}`)
      const { begun, dueInMs } = await this.#store.turn(turnOf({ worker: 'last', free: 4, outcomes }))
      outcomes = begun.map(({ seq }) => ({ seq, status: 'done' }))
      const { waiting, active } = await this.#store.counts()
      if (waiting + active === 0) break
      if (begun.length === 0 && dueInMs === undefined) assert.fail(`${waiting} wait and none is begun`)
    }
    await this.#store.turn(turnOf({ worker: 'last', leaseMs: 0, outcomes }))
  }
}

function outcomeOf (seq: string, end: string): StoredOutcome | undefined {
  if (end === 'done') return { seq, status: 'done' }
  if (end === 'dead') return { seq, status: 'dead', attempts: 3, error: '{"message":"no"}' }
  if (end === 'none') return undefined
  return { seq, status: 'wait', delayMs: end === 'later' ? 0 : 5, attempts: 1, isRetry: end === 'retry' }
}

function turnOf (over: Partial<Turn>): Turn {
  return { worker: 'w1', leaseMs: 60_000, outcomes: [], free: 0, concurrency: 8, running: {}, runningOf: { untested: 0, hung: 0 }, responsive: [], hung: [], ...over }
}

function compare (db: SqliteDatabase): void {
  const counted = db.get('SELECT waiting, active, blocked, deferred, bytes, unverified_bytes, dead, dead_bytes FROM counters')
  const there = db.get(`SELECT
    (SELECT count(*) FROM events WHERE state <> 3), (SELECT count(*) FROM events WHERE state = 3), (SELECT count(*) FROM events WHERE state = 2), (SELECT count(*) FROM events WHERE state = 5),
    (SELECT coalesce(sum(size), 0) FROM events JOIN groups ON groups.id = grp WHERE class <> 3), (SELECT coalesce(sum(size), 0) FROM events JOIN groups ON groups.id = grp WHERE class = 3),
    (SELECT count(*) FROM dead), (SELECT coalesce(sum(size), 0) FROM dead)`)
  assert.deepEqual(counted, there)
  const none = (what: string, sql: string): void => assert.deepEqual(db.all(sql), [], what)
  none('bytes of a group', 'SELECT * FROM groups WHERE bytes <> (SELECT coalesce(sum(size), 0) FROM events WHERE grp = groups.id)')
  none('bytes of its dead letters', 'SELECT * FROM groups WHERE dead_bytes <> (SELECT coalesce(sum(size), 0) FROM dead WHERE grp = groups.id)')
  none('size of an event', 'SELECT * FROM events WHERE size <> 512 + octet_length(body)')
  none('events of no group', 'SELECT * FROM events WHERE grp NOT IN (SELECT id FROM groups)')
  none('groups of which nothing is known', 'SELECT * FROM groups WHERE bytes = 0 AND dead_bytes = 0 AND marked_at = 0 AND place0 IS NULL AND place1 IS NULL')
  none('a waiting event has a turn', 'SELECT * FROM events JOIN groups ON groups.id = grp WHERE state = 1 AND CASE lane WHEN 0 THEN place0 ELSE place1 END IS NULL')
  none('two turns of one place', 'SELECT place1 FROM groups WHERE place1 IS NOT NULL GROUP BY place1 HAVING count(*) > 1')
  none('a key has one active event', 'SELECT key FROM events WHERE state = 3 AND key IS NOT NULL GROUP BY key HAVING count(*) > 1')
  none('one event holds a key', 'SELECT key FROM events WHERE holds_key = 1 AND key IS NOT NULL GROUP BY key HAVING count(*) > 1')
  none('an active or deferred event holds its key', 'SELECT * FROM events WHERE state IN (3, 5) AND holds_key = 0')
  none('a blocked event waits for the one that holds its key', 'SELECT * FROM events AS e WHERE state = 2 AND NOT EXISTS (SELECT 1 FROM events AS holder WHERE holder.key = e.key AND holder.holds_key = 1)')
  assert.ok((counted as number[])[6]! <= 6 + 3, 'dead letters are bounded')
}
