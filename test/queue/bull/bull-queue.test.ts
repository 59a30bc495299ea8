import { once } from 'node:events'
import { Redis } from 'ioredis'
import t from 'tap'
import { letterOf } from '../../../src/queue/bull/bull-letter.ts'
import type { Outcome, Run } from '../../../src/queue/queue.ts'
import { startProgram } from '../../helpers/program.ts'
import { until } from '../../helpers/until.ts'
import { UNAVAILABLE, setUp, strangersQueue, type Setup } from './bull-setup.ts'
import { newEvent, newGate } from '../contract/trial.ts'

t.setTimeout(120_000)

const dead: Outcome = { status: 'dead', error: new Error('hopeless') }

t.test('has one connection, and one more only when it works', async t => {
  const setup = await setUp(t)
  const others = (await clients(setup)).length
  const queue = await setup.open()
  await queue.add(newEvent())
  t.equal((await clients(setup)).length, others + 1)
  setup.work(queue)
  await until(() => setup.runs.length === 1, 'it is handled')
  t.equal((await clients(setup)).length, others + 2)
  await queue.close(1_000)
  t.equal((await clients(setup)).length, others)
})

t.test('stays beside a client of the caller, whatever its options, and leaves it open', async t => {
  const setup = await setUp(t)
  const client = new Redis(setup.server.url, { keyPrefix: 'mine:', maxRetriesPerRequest: null })
  t.teardown(() => client.disconnect())
  const queue = await setup.open({}, client)
  setup.work(queue)
  await queue.add(newEvent())
  await until(() => setup.runs.length === 1, 'it is handled')
  await queue.close(1_000)
  t.equal(await client.ping(), 'PONG')
  t.same((await setup.admin.keys('*')).filter(key => !key.startsWith('b24:{bull}:')), [])
})

t.test('keeps no trace of what was handled but the keys of BullMQ itself', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  setup.work(queue)
  for (let i = 0; i < 500; i++) await queue.add(newEvent({ item: `deal:${i % 7}`, coalesce: i % 2 === 0 }))
  await until(async () => (await queue.counts()).waiting + (await queue.counts()).active === 0, 'all is handled')
  await queue.close(1_000)
  const keys = (await setup.admin.keys('*')).filter(key => !/:(id|pc|meta|events|marker|stalled-check|stalled|turn)$/.test(key))
  t.same(keys.filter(key => !/:items:/.test(key)), [])
  t.ok(await setup.admin.xlen(setup.key('events')) < 500, 'the log is short')
})

t.test('hands what strangers put in to the process as it is, and keeps it as a dead letter without a word', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  const stranger = strangersQueue(t, setup)
  const found = [1, null, 'text', [], { id: 1, memberId: 'a', code: 7 }]
  for (const data of found) await stranger.add('x', data, { attempts: 9, removeOnFail: true, backoff: { type: 'fixed', delay: 1 } })
  setup.work(queue, async () => dead)
  await until(() => setup.dead.length === found.length, 'all are dead')
  t.same(setup.runs.map(({ event, attempt, coalesced, progress }) => ({ event, attempt, coalesced, progress })),
    found.map(event => ({ event: event ?? null, attempt: 1, coalesced: 1, progress: undefined })))
  const { letters } = await queue.deadLetters.list()
  t.same(new Set(letters), new Set(setup.dead))
  t.same(letters.map(({ memberId, code, event, error }) => [memberId, code, event, error]).toReversed(),
    found.map((_, i) => [i === 4 ? 'a' : '', '', undefined, { message: 'hopeless' }]))
  const [letter] = letters
  t.equal(await queue.deadLetters.replay(letter?.id as string), true)
  await until(() => setup.dead.length === found.length + 1, 'it is dead again')
})

t.test('reads a failed job that another worker has written', async t => {
  for (const stacktrace of [['Error: x\n    at y'], [], null, ['null']]) {
    const letter = letterOf({ id: '1', data: { memberId: 'a' }, timestamp: 5, finishedOn: 6, failedReason: 'no', attemptsMade: 2, stalledCounter: 1, stacktrace } as never)
    t.same(letter, { id: '1', memberId: 'a', code: '', receivedAt: 5, failedAt: 6, attempts: 3, coalesced: 1, error: { message: 'no' } })
  }
})

t.test('makes a dead letter of what BullMQ gives up by itself', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  const event = newEvent({ item: 'deal:1' })
  await queue.add(event)
  await setup.admin.hset(setup.key(event.id), 'defa', 'stalled too often')
  setup.work(queue)
  await until(() => setup.dead.length === 1, 'it is dead')
  t.match(setup.dead, [{ id: event.id, error: { message: 'stalled too often' } }])
  t.equal(setup.runs.length, 0)
})

t.test('an event that no worker survives is a dead letter after as many attempts', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  const event = newEvent()
  await queue.add(event)
  // As BullMQ counts them.
  await setup.admin.hset(setup.key(event.id), 'stc', 3)
  setup.work(queue)
  await until(() => setup.dead.length === 1, 'it is dead')
  t.match(setup.dead, [{ id: event.id, attempts: 3, error: { message: 'No worker survived it' } }])
  t.equal(setup.runs.length, 0)
  t.equal(await queue.deadLetters.replay(event.id), true)
  await until(() => setup.runs.length === 1, 'it is tried')
  t.equal(setup.runs[0]?.attempt, 1)
})

t.test('counts workers that died of an event together with its failures', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  const event = newEvent()
  await queue.add(event)
  await setup.admin.hset(setup.key(event.id), 'stc', 1)
  setup.work(queue, async () => { throw Object.assign(new Error('no'), { code: 'E_NO' }) })
  await until(() => setup.dead.length === 1, 'it is dead')
  t.same(setup.runs.map(({ attempt }) => attempt), [2, 3])
  t.match(setup.dead, [{ attempts: 3, error: { message: 'no', code: 'E_NO' } }])
  t.equal(await setup.admin.hget(setup.key(event.id), 'stacktrace'), '["{\\"attempts\\":3,\\"coalesced\\":1,\\"code\\":\\"E_NO\\"}"]', 'no trace is kept')
})

t.test('gives the event of a worker that was killed to another, and its item to nobody before', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 1_500 })
  const [killed, next] = [newEvent({ item: 'deal:1', code: 'ADD' }), newEvent({ item: 'deal:1', code: 'UPDATE' })]
  await queue.add(killed)
  const child = startProgram('test/queue/bull/bull-child.ts', [], { env: { REDIS_URL: setup.server.url } })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  await queue.add(next)
  const locked = async () => await setup.admin.exists(setup.key(`${killed.id}:lock`)) === 1
  t.ok(await locked())
  const early: string[] = []
  setup.work(queue, async (run) => {
    if (await locked() && run.attempt === 1) early.push('the next')
    return { status: 'done' }
  })
  await until(() => setup.runs.length === 2, 'both are handled')
  t.same(early, [])
  t.same(new Map(setup.runs.map(({ event, attempt }) => [(event as { code: string }).code, attempt])), new Map([['UPDATE', 1], ['ADD', 2]]))
})

t.test('leaves an event alone that is handled for longer than a worker may be silent', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 600 })
  const [gate, lock] = [newGate(), setup.key('long:lock')]
  setup.work(queue, async () => {
    await gate.opened
    return { status: 'done' }
  })
  await queue.add(newEvent({ id: 'long' }))
  await until(() => setup.runs.length === 1, 'it runs')
  const began = performance.now()
  await until(() => performance.now() - began > 1_500, 'it is silent for long')
  t.equal(await setup.admin.exists(lock), 1)
  t.equal((setup.runs[0] as Run).signal.aborted, false)
  gate.open()
  await until(async () => (await queue.counts()).active === 0, 'it is done')
  t.equal(setup.runs.length, 1)
})

t.test('aborts a run whose lock is lost, and takes no notice of how it ends', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 400 })
  const gate = newGate()
  setup.work(queue, async () => {
    if (setup.runs.length > 1) return { status: 'done' }
    await gate.opened
    return dead
  })
  const event = newEvent({ item: 'deal:1' })
  await queue.add(event)
  await until(() => setup.runs.length === 1, 'it runs')
  await setup.admin.del(setup.key(`${event.id}:lock`))
  await until(() => (setup.runs[0] as Run).signal.aborted, 'it is aborted')
  await until(() => setup.runs.length === 2, 'it runs again')
  t.equal(setup.runs[1]?.attempt, 2)
  gate.open()
  await until(async () => (await queue.counts()).active === 0, 'it is done')
  t.same(await queue.counts(), { waiting: 0, active: 0, dead: 0 })
})

t.test('a run whose lock is lost saves nothing over what the next one saved', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 400 })
  const [first, second] = [newGate(), newGate()]
  setup.work(queue, async (run) => {
    const isFirst = setup.runs.length === 1
    if (isFirst) await run.save('first')
    else await run.save('second')
    await (isFirst ? first : second).opened
    return { status: 'done' }
  })
  const event = newEvent({ item: 'deal:1' })
  await queue.add(event)
  const progress = () => setup.admin.hget(setup.key(event.id), 'progress')
  await until(async () => await progress() === '[0,"first"]', 'the first has saved')
  const [run] = setup.runs as [Run]
  // Another worker has it, and this one does not know yet.
  await setup.admin.set(setup.key(`${event.id}:lock`), 'another')
  await t.rejects(run.save('late'), { ...UNAVAILABLE, cause: { message: 'The event was given to another worker' } })
  t.equal(await progress(), '[0,"first"]')
  t.equal(run.progress, 'first')
  await setup.admin.del(setup.key(`${event.id}:lock`))
  await until(async () => await progress() === '[0,"second"]', 'the second has saved')
  t.ok(run.isAborted)
  await t.rejects(run.save('too late'), UNAVAILABLE)
  t.equal(await progress(), '[0,"second"]')
  first.open()
  second.open()
  await until(async () => (await queue.counts()).active === 0, 'it is done')
})

t.test('says of an event that has had more attempts than there are why it is dead', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  const event = newEvent()
  await queue.add(event)
  // As a board tries a dead letter again.
  await setup.admin.hset(setup.key(event.id), 'atm', 3)
  setup.work(queue)
  await until(() => setup.dead.length === 1, 'it is dead')
  t.match(setup.dead, [{ id: event.id, attempts: 3, error: { message: 'It has had all its attempts' } }])
  t.equal(setup.runs.length, 0)
})

t.test('replays a dead letter in the turn of its portal, and a lifecycle event before all', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  setup.work(queue, async () => dead)
  const [first, other] = [newEvent({ first: true }), newEvent()]
  await queue.add(first)
  await queue.add(other)
  await until(() => setup.dead.length === 2, 'both are dead')
  await queue.close(1_000)
  const later = await setup.open()
  for (let i = 0; i < 10; i++) await later.add(newEvent({ memberId: 'portal-b' }))
  t.equal(await later.deadLetters.replay(other.id), true)
  t.equal(await later.deadLetters.replay(first.id), true)
  setup.runs.length = 0
  setup.work(later)
  await until(() => setup.runs.length === 12, 'all run')
  const ids = setup.runs.map(({ event }) => (event as { id: string }).id)
  t.equal(ids[0], first.id)
  t.ok(ids.indexOf(other.id) <= 3, `in turn: ${ids.indexOf(other.id)}`)
})

t.test('goes on with the next page when the letter that it begins behind is gone', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000 } })
  setup.work(queue, async () => dead)
  await Promise.all(Array.from({ length: 150 }, () => queue.add(newEvent())))
  await until(() => setup.dead.length === 150, 'all are dead')
  const one = await queue.deadLetters.list()
  t.equal(await queue.deadLetters.discard(one.letters.at(-1)?.id as string), true)
  const two = await queue.deadLetters.list(undefined, one.cursor)
  const ids = new Set([...one.letters, ...two.letters].map(({ id }) => id))
  // Those of the same millisecond may come twice, but none is left out.
  t.equal(ids.size, 150)
  t.equal(two.cursor, undefined)
})

async function clients ({ admin }: Setup): Promise<string[]> {
  return (await admin.client('LIST') as string).trim().split('\n')
}
