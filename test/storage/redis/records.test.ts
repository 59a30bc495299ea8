import fc from 'fast-check'
import t from 'tap'
import { EVENT_OVERHEAD_BYTES, type NewEvent, type StoredOutcome } from '../../../src/storage/event-store.ts'
import { until } from '../../helpers/until.ts'
import { newEvent, newStored, newTurn } from '../contract/trial.ts'
import { setUp, type Setup } from './setup.ts'

t.setTimeout(180_000)

t.test('a damaged event becomes a dead letter, a missing one is logged, and the others are handled', async t => {
  const setup = await setUp(t)
  const { admin, key } = setup
  const queue = await setup.open()
  const events = Array.from({ length: 8 }, (_, i) => newEvent({ id: `e${i + 1}`, key: `deal:${i}`, coalesce: true }))
  for (const event of events) await queue.add(event)
  await admin.del(key('event:1'))
  await admin.set(key('event:2'), 'something else')
  await admin.hdel(key('event:3'), 'body')
  await admin.hset(key('event:4'), 'attempts', 'many')
  await admin.hdel(key('event:5'), 'id')
  await admin.hset(key('event:6'), 'body', 'no JSON')
  await admin.hdel(key('event:7'), 'group', 'size')
  await admin.zadd(key('waiting:1:portal-a'), 0, 'unknown')
  setup.work(queue)
  await until(() => setup.runs.some(({ event }) => (event as { id?: string } | undefined)?.id === 'e8'), 'what is sound is handled')
  await until(() => setup.dead.length === 4, 'the damaged are dead letters')
  t.strictSame(setup.dead.map(({ id }) => id).sort(), ['e3', 'e4', 'e7', 'unknown-5'])
  t.ok(setup.runs.some(({ event }) => event === undefined), 'what is no JSON is for the processor to judge')
  t.match(setup.warnings.filter(text => text.includes('lost')).join(), /lost/)
  t.equal((await queue.deadLetters.list()).items.length, 4)
  for (const { id } of setup.dead) t.equal(await queue.deadLetters.discard(id), true)
  t.strictSame(setup.errors, [])
})

t.test('a key whose event was deleted is free for the next one', async t => {
  const setup = await setUp(t)
  const { events } = await setup.storage()
  await events.add([newStored({ key: 'k' })])
  const { begun: [gone] } = await events.turn(newTurn({ free: 1 }))
  await setup.admin.del(setup.key(`event:${gone!.seq}`))
  await events.add([newStored({ key: 'k', body: '2' })])
  t.strictSame((await events.turn(newTurn({ free: 1 }))).begun.map(({ body }) => body), ['2'])
})

t.test('a damaged event does not release the key that another one holds', async t => {
  const setup = await setUp(t)
  const { events } = await setup.storage()
  await events.add([newStored({ group: 'a', key: 'k', body: '1' })])
  const { begun: [first] } = await events.turn(newTurn({ free: 1 }))
  await events.add([newStored({ group: 'b', key: 'k', body: '2' })])
  await events.turn(newTurn({ free: 1 }))
  await events.add([newStored({ group: 'c', key: 'k', body: '3' })])
  await setup.admin.hdel(setup.key('event:3'), 'body')
  const { begun, dead } = await events.turn(newTurn({ free: 1 }))
  t.strictSame([begun.length, dead.length], [0, 1])
  t.strictSame((await events.turn(newTurn({ free: 1 }))).begun, [])
  await events.turn(newTurn({ outcomes: [{ seq: first!.seq, status: 'done' }] }))
  t.strictSame((await events.turn(newTurn({ free: 1 }))).begun.map(({ body }) => body), ['2'])
})

t.test('a group that hung is forgotten after ten minutes, unless events of it are pending', async t => {
  const setup = await setUp(t)
  const { events } = await setup.storage()
  await events.add([newStored({ group: 'busy' })])
  for (const group of ['busy', 'idle']) await setup.admin.zadd(setup.key('known'), -(Date.now() - 700_000), group)
  await events.turn(newTurn({ responsive: ['other'] }))
  t.strictSame(await setup.admin.zrange(setup.key('known'), '0', '-1'), ['busy', 'other'])
})

t.test('with a clock that is set back an hour nothing waits longer than it was to, and no lease is endless', async t => {
  const HOUR_MS = 3_600_000
  const setup = await setUp(t)
  const { events } = await setup.storage()
  await events.add([newStored({ group: 'a' }), newStored({ group: 'b' })])
  const { begun } = await events.turn(newTurn({ leaseMs: 200, free: 2 }))
  await events.turn(newTurn({ leaseMs: 200, outcomes: [{ seq: begun[0]!.seq, status: 'wait', delayMs: 200, attempts: 1, isRetry: true }] }))
  // Stored as by a server whose clock was an hour ahead until now.
  for (const name of ['workers', 'delayed']) {
    const [member, score] = await setup.admin.zrange(setup.key(name), '0', '0', 'WITHSCORES')
    await setup.admin.zadd(setup.key(name), Number(score) + HOUR_MS, member!)
  }
  await setup.admin.hset(setup.key('clock'), 'now', Date.now() + HOUR_MS)
  const taken: string[] = []
  await until(async () => {
    taken.push(...(await events.turn(newTurn({ worker: 'worker-2', free: 2 }))).begun.map(({ seq }) => seq))
    return taken.length === 2
  }, 'both start again', 3_000)
  t.strictSame(taken.sort(), begun.map(({ seq }) => seq).sort())
})

t.test('no step holds up Redis, however much is due at once', async t => {
  const setup = await setUp(t)
  const { events } = await setup.storage({ maxWaitingBytes: 4e9 })
  const body = JSON.stringify('x'.repeat(200_000))
  for (let i = 0; i < 1_000; i += 10) await events.add(Array.from({ length: 10 }, (_, j) => newStored({ group: `p${j}`, key: `k${i + j}`, body })))
  let failed = 0
  while (failed < 1_000) {
    const { begun } = await events.turn(newTurn({ free: 100, concurrency: 1_000 }))
    failed += begun.length
    await events.turn(newTurn({ outcomes: begun.map(({ seq }) => ({ seq, status: 'wait', delayMs: 1_000, attempts: 1, isRetry: true })), responsive: Array.from({ length: 10 }, (_, j) => `p${j}`) }))
  }
  await new Promise(resolve => setTimeout(resolve, 1_000))
  await setup.admin.config('SET', 'slowlog-log-slower-than', '0')
  await setup.admin.config('SET', 'slowlog-max-len', '100')
  await setup.admin.slowlog('RESET')
  let done = 0
  while (done < 1_000) {
    const { begun } = await events.turn(newTurn({ free: 50, concurrency: 1_000 }))
    await events.turn(newTurn({ outcomes: begun.map(({ seq }) => ({ seq, status: 'done' })) }))
    done += begun.length
  }
  const slowest = Math.max(...(await setup.admin.slowlog('GET', 100) as unknown as number[][]).map(entry => Number(entry[2])))
  t.ok(slowest < 30_000, `${slowest} µs`)
})

const anEvent = fc.record({
  group: fc.constantFrom('a', 'b', '? 1', '? 2'),
  code: fc.constantFrom('X', 'Y'),
  isPriority: fc.boolean(),
  key: fc.constantFrom(undefined, 'k1', 'k2'),
  repeats: fc.boolean(),
  size: fc.integer({ min: 0, max: 3_000 })
})
const aStep = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), events: fc.array(anEvent, { minLength: 1, maxLength: 4 }) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('turn' as const), worker: fc.constantFrom('w1', 'w2'), free: fc.integer({ min: 0, max: 4 }), ends: fc.array(fc.constantFrom('done', 'later', 'failed', 'dead', 'runs'), { maxLength: 4 }), leaves: fc.boolean(), forgets: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('dies' as const), worker: fc.constantFrom('w1', 'w2') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('listen' as const), worker: fc.constantFrom('w1', 'w2'), codes: fc.constantFrom(undefined, ['X'], ['Y'], []) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('replay' as const, 'discard' as const), at: fc.integer({ min: 0, max: 5 }) }) }
)

t.test('what is counted is what is stored, whatever happens', async t => {
  const setup = await setUp(t)
  const { events } = await setup.storage({ maxWaitingBytes: 60_000, deadLetters: { maxAgeMs: 3_600_000, maxCount: 6, maxBytes: 8_000 } })
  let ids = 0
  await fc.assert(fc.asyncProperty(fc.array(aStep, { maxLength: 40 }), async steps => {
    await setup.admin.flushall()
    const runs: Record<string, string[]> = { w1: [], w2: [] }
    for (const step of steps) {
      if (step.kind === 'add') {
        await events.add(step.events.map(({ group, code, isPriority, key, repeats, size }): NewEvent => ({
          id: `e${ids++}`, group, code, isPriority, key, dedup: key !== undefined && repeats ? `${code} ${key}` : undefined, body: JSON.stringify('x'.repeat(size))
        })))
      } else if (step.kind === 'turn') {
        const own = runs[step.worker]!
        const outcomes = step.ends.flatMap((end): StoredOutcome[] => {
          if (end === 'runs' || own.length === 0) return []
          const seq = own.shift()!
          if (end === 'done') return [{ seq, status: 'done' }]
          if (end === 'dead') return [{ seq, status: 'dead', attempts: 1, error: '{}' }]
          return [{ seq, status: 'wait', delayMs: end === 'later' ? 0 : 1, attempts: 1, isRetry: end === 'failed' }]
        })
        const { begun } = await events.turn(newTurn({ worker: step.worker, free: step.leaves ? 0 : step.free, leaseMs: step.leaves ? 0 : 30_000, outcomes, ...(!step.forgets && { runs: own }) }))
        runs[step.worker] = step.leaves ? [] : [...own, ...begun.map(({ seq }) => seq)]
      } else if (step.kind === 'dies') {
        await setup.admin.zadd(setup.key('workers'), 'XX', 1, step.worker)
      } else if (step.kind === 'listen') await events.listen(step.worker, step.codes)
      else {
        const deadLetter = (await events.listDead(undefined, 10))[step.at]
        if (deadLetter !== undefined) await events[step.kind](deadLetter.id)
      }
      await countsAreRight(setup, events)
    }
    // All comes to an end, and nothing is left.
    for (const worker of ['w1', 'w2']) await events.turn(newTurn({ worker, leaseMs: 0 }))
    await until(async () => {
      const { begun } = await events.turn(newTurn({ worker: 'w3', free: 16 }))
      await events.turn(newTurn({ worker: 'w3', outcomes: begun.map(({ seq }) => ({ seq, status: 'done' })) }))
      return (await events.counts()).waiting === 0
    }, 'all is handled', 3_000)
    for (const { id } of await events.listDead(undefined, 100)) await events.discard(id)
    await countsAreRight(setup, events)
    const rest = (await setup.admin.keys('*')).map(key => key.slice(setup.key('').length))
    t.strictSame(rest.filter(key => !/^(known|seq|totals|turn|deaths|workers|clock|deferred|listens:.*)$/.test(key)), [])
  }), { numRuns: 150 })
})

type Store = Awaited<ReturnType<Setup['storage']>>['events']

/** Counts everything again, and compares. */
async function countsAreRight ({ admin, key }: Setup, events: Store): Promise<void> {
  const rows = await Promise.all((await admin.keys(key('event:*'))).map(async name => ({ seq: name.slice(key('event:').length), ...await admin.hgetall(name) }) as Record<string, string>))
  const dead = new Set(await admin.zrange(key('dead'), '0', '-1'))
  const active = new Set((await Promise.all((await admin.keys(key('active:*'))).map(async name => await admin.smembers(name)))).flat())
  const bytes: Record<string, number> = {}
  const deadBytes: Record<string, number> = {}
  const totals = { events: rows.length, verified: 0, unverified: 0, dead: 0 }
  for (const { seq, group, body, size } of rows as Array<{ seq: string, group: string, body: string, size: string }>) {
    t.equal(Number(size), body.length + EVENT_OVERHEAD_BYTES)
    const of = dead.has(seq) ? deadBytes : bytes
    of[group] = (of[group] ?? 0) + Number(size)
    totals[dead.has(seq) ? 'dead' : group.startsWith('?') ? 'unverified' : 'verified'] += Number(size)
  }
  const stored = Object.fromEntries(Object.entries(await admin.hgetall(key('totals'))).map(([name, value]) => [name, Number(value)]))
  t.strictSame({ events: 0, verified: 0, unverified: 0, dead: 0, ...stored }, totals)
  t.strictSame(Object.fromEntries(Object.entries(await admin.hgetall(key('bytes'))).map(([name, value]) => [name, Number(value)])), bytes)
  const ranked = await admin.zrange(key('dead-bytes'), '0', '-1', 'WITHSCORES')
  t.strictSame(Object.fromEntries(ranked.flatMap((name, i) => i % 2 === 0 ? [[name, Number(ranked[i + 1])]] : [])), deadBytes)
  t.strictSame(await events.counts(), { waiting: rows.length - dead.size - active.size, active: active.size, dead: dead.size })
  // Every event that is pending stands in one place.
  const places = (await Promise.all(['waiting:*', 'blocked:*', 'deferred:*', 'delayed'].map(async pattern => await Promise.all((await admin.keys(key(pattern))).map(async name => await admin.zrange(name, '0', '-1')))))).flat(2)
  t.strictSame(places.toSorted(), rows.map(({ seq }) => seq!).filter(seq => !dead.has(seq) && !active.has(seq)).sort())
}
