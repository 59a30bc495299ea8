import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../helpers/app.ts'
import { until } from '../../helpers/until.ts'
import { EventQueue } from '../../../src/storage/event-queue.ts'
import type { Turn, TurnResult } from '../../../src/storage/event-store.ts'
import { SqliteEvents } from '../../../src/storage/sqlite/events.ts'
import { newEvent, newStored, newTurn } from '../contract/trial.ts'
import { openDatabase } from './database.ts'

const HOUR_MS = 3_600_000
const SETTINGS = { attempts: 3, deadLetters: { maxAgeMs: HOUR_MS, maxCount: 100, maxBytes: 1e9 }, maxWaitingBytes: undefined }
const OTHER = { worker: 'worker-2' }

/** Opens the same file again at each call. */
function onOneFile (t: Test) {
  const folder = temporaryFolder(t)
  return async () => {
    const db = await openDatabase(folder)
    t.teardown(() => db.close())
    return { db, store: new SqliteEvents(db, SETTINGS) }
  }
}

t.test('with a clock that is set back an hour nothing waits longer than it was to, and no lease is endless', async t => {
  const open = onOneFile(t)
  const { store } = await open()
  await store.add([newStored({ id: 'delayed' }), newStored({ id: 'lost', group: 'other' })])
  const { begun } = await store.turn(newTurn({ leaseMs: 200, free: 2 }))
  await store.turn(newTurn({ leaseMs: 200, outcomes: [{ seq: begun[0]!.seq, status: 'wait', delayMs: 200, attempts: 1, isRetry: true }] }))
  const now = Date.now
  t.teardown(() => { Date.now = now })
  Date.now = () => now() - HOUR_MS
  for (const each of [store, (await open()).store]) {
    const { dueInMs } = await each.turn(newTurn({ ...OTHER }))
    t.ok(dueInMs !== undefined && dueInMs <= 200, `due in ${dueInMs} ms`)
  }
  await sleep(250)
  const taken = await store.turn(newTurn({ ...OTHER, free: 2 }))
  t.strictSame(taken.begun.map(({ seq }) => seq).sort(), begun.map(({ seq }) => seq).sort())
})

t.test('rows that somebody wrote or spoilt stop no worker', async t => {
  const { db, store } = await onOneFile(t)()
  await store.add([newStored({ id: 'body', group: 'a' }), newStored({ id: 'progress', group: 'b' }), newStored({ id: 'orphan', group: 'c' }), newStored({ id: 'right', group: 'd' })])
  await db.write(() => {
    db.run("UPDATE events SET body = '{\"a' WHERE id = 'body'")
    db.run("UPDATE events SET progress = '{\"a' WHERE id = 'progress'")
    db.run("DELETE FROM groups WHERE name = 'c'")
    db.run("UPDATE events SET attempts = -5, coalesced = -5 WHERE id = 'right'")
  })
  const runs: unknown[] = []
  const errors: Error[] = []
  const queue = new EventQueue(store, { attempts: 3, backoffMs: 10, stalledAfterMs: 30_000, onError: error => errors.push(error) })
  queue.work(async ({ event, progress }) => {
    runs.push([event === undefined, progress])
    return { status: 'done' }
  }, { concurrency: 8, onDead: () => {} })
  await until(() => runs.length === 3, 'they are handled')
  await queue.add(newEvent())
  await until(() => runs.length === 4, 'it goes on')
  t.strictSame(runs, [[true, undefined], [false, undefined], [false, undefined], [false, undefined]])
  await queue.close(100)
  t.strictSame(errors, [])
})

t.test('an active event whose worker is not in the file runs again with the first turn of the next worker', async t => {
  const { db, store } = await onOneFile(t)()
  await store.add([newStored({ id: 'lost', key: 'k' })])
  const { begun: [lost] } = await store.turn(newTurn({ free: 1 }))
  await db.write(() => db.run('DELETE FROM workers'))
  const { begun } = await store.turn(newTurn({ ...OTHER, free: 1 }))
  t.strictSame(begun, [{ ...lost, attempts: 1 }])
})

t.test('idle workers do not keep each other busy, and hear at once of what is added', async t => {
  const folder = temporaryFolder(t)
  let turns = 0
  let ran = 0
  class CountedEvents extends SqliteEvents {
    override async turn (turn: Turn): Promise<TurnResult> {
      turns++
      return await super.turn(turn)
    }
  }
  const open = async () => {
    const db = await openDatabase(folder)
    t.teardown(() => db.close())
    return new CountedEvents(db, SETTINGS)
  }
  for (const store of [await open(), await open()]) {
    const queue = new EventQueue(store, { attempts: 3, backoffMs: 10, stalledAfterMs: 30_000, onError: error => { throw error } })
    queue.work(async () => {
      ran = performance.now()
      return { status: 'done' }
    }, { concurrency: 4, onDead: () => {} })
    t.teardown(() => queue.close(100))
  }
  await sleep(1_000)
  const before = turns
  await sleep(2_000)
  t.ok(turns - before <= 6, `${turns - before} turns of two idle workers in two seconds`)
  const store = await open()
  const added = performance.now()
  await store.add([newStored()])
  await until(() => ran > 0, 'it is handled')
  t.ok(ran - added < 100, `after ${ran - added} ms`)
})

t.test('a group whose name has a NUL is its own', async t => {
  const { store } = await onOneFile(t)()
  await store.add(['a', 'a\0', 'a\0b', 'a\\0'].map(group => newStored({ group })))
  const { begun } = await store.turn(newTurn({ free: 9, concurrency: 20 }))
  t.strictSame(begun.map(({ group }) => group), ['a', 'a\0', 'a\0b', 'a\\0'])
})
