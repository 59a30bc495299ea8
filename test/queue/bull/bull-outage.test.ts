import t from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { openBullQueue } from '../../../src/queue/bull/bull-queue.ts'
import type { Run } from '../../../src/queue/queue.ts'
import { freePort } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { APP, setUp, UNAVAILABLE, type Setup } from './bull-setup.ts'
import { newEvent, newGate } from '../contract/trial.ts'

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

t.setTimeout(180_000)

t.test('does not open without Redis', async t => {
  const settings = { attempts: 1, backoffMs: 1, stalledAfterMs: 1_000, deadLetters: { maxAgeMs: 1, maxCount: 1 }, onError: () => {} }
  await t.rejects(openBullQueue(`redis://127.0.0.1:${await freePort()}`, APP, settings, 100), UNAVAILABLE)
})

t.test('leaves no connection behind when it cannot be opened', async t => {
  const setup = await setUp(t)
  // What the turns are read with.
  await setup.admin.acl('SETUSER', 'default', '-get')
  await t.rejects(setup.open(), UNAVAILABLE)
  await until(async () => (await setup.admin.client('LIST') as string).trim().split('\n').length === 1, 'only the one that looks is left', 3_000)
})

t.test('rejects what a full server does not take, and goes on when it has room', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  for (let i = 0; i < 10; i++) await queue.add(newEvent({ item: `deal:${i}`, first: true }))
  await setup.admin.config('SET', 'maxmemory', '1')
  const adds = await Promise.allSettled([newEvent(), newEvent({ first: true }), newEvent({ item: 'deal:1', coalesce: true })].map(event => queue.add(event)))
  t.ok(adds.every(({ status }) => status === 'rejected'))
  setup.work(queue)
  const spent = await commandsIn(setup, 2_000)
  // Four or five rounds of half a second, of 44 commands for the four jobs.
  t.ok(spent < 300, `it does not ask all the time: ${spent}`)
  t.match(setup.errors, [{ message: /OOM/ }])
  t.equal(setup.errors.length, 1, 'and is told once')
  await setup.admin.config('SET', 'maxmemory', '0')
  await queue.add(newEvent())
  await until(() => setup.runs.length === 11, 'it goes on')
})

t.test('says that a dead letter could not be put back', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  setup.work(queue, async () => ({ status: 'dead', error: new Error('hopeless') }))
  const event = newEvent({ first: true })
  await queue.add(event)
  await until(() => setup.dead.length === 1, 'it is dead')
  // What BullMQ begins with.
  await setup.admin.acl('SETUSER', 'default', '-zrem')
  await t.rejects(queue.deadLetters.replay(event.id), UNAVAILABLE)
  t.equal((await queue.deadLetters.get(event.id))?.id, event.id)
})

t.test('answers within a second while Redis hangs, and aborts what others may have', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 1_000 })
  setup.work(queue, async (run) => {
    if (setup.runs.length === 1) await new Promise(resolve => run.signal.addEventListener('abort', resolve))
    return { status: 'done' }
  })
  await queue.add(newEvent({ item: 'deal:1' }))
  await until(() => setup.runs.length === 1, 'it runs')
  process.kill(setup.server.pid, 'SIGSTOP')
  const began = performance.now()
  const asked: Array<Promise<unknown>> = [queue.add(newEvent()), queue.counts(), queue.deadLetters.list(), (setup.runs[0] as Run).save(1)]
  for (const { reason } of await Promise.allSettled(asked) as PromiseRejectedResult[]) t.match(reason, UNAVAILABLE)
  t.ok(performance.now() - began < 3_000)
  await until(() => (setup.runs[0] as Run).signal.aborted, 'it is aborted')
  process.kill(setup.server.pid, 'SIGCONT')
  await until(() => setup.runs.length >= 2, 'it is handled again')
  await until(() => queue.add(newEvent()).then(() => true, () => false), 'it takes events')
})

t.test('does not handle again what ended while Redis was away', async t => {
  const setup = await setUp(t, DURABLE)
  const queue = await setup.open({ stalledAfterMs: 10_000 })
  const gate = newGate()
  setup.work(queue, async () => {
    await gate.opened
    return { status: 'done' }
  })
  for (let i = 0; i < 3; i++) await queue.add(newEvent({ item: `deal:${i}` }))
  await until(() => setup.runs.length === 3, 'they run')
  await setup.server.kill()
  await t.rejects(queue.add(newEvent()), UNAVAILABLE)
  gate.open()
  await sleep(300)
  await setup.server.restart()
  await until(async () => await queue.counts().then(({ active, waiting }) => active + waiting === 0, () => false), 'they are done')
  t.equal(setup.runs.length, 3)
  t.ok(setup.errors.length > 0)
  const told = setup.errors.length
  await setup.server.kill()
  await until(() => setup.errors.length > told, 'the next outage is told too')
})

for (const [name, works, runs] of [['that never worked', false, false], ['that works', true, false], ['that handles an event', true, true]] as const) {
  t.test(`a queue ${name} closes soon when Redis is gone`, async t => {
    const setup = await setUp(t)
    const queue = await setup.open()
    if (works) setup.work(queue, () => new Promise(() => {}))
    if (runs) await queue.add(newEvent({ item: 'deal:1' }))
    await until(() => setup.runs.length === Number(runs), 'it runs')
    await setup.server.kill()
    await until(() => setup.errors.length > 0, 'it knows')
    await sleep(200)
    const began = performance.now()
    await queue.close(runs ? 100 : 60_000)
    t.ok(performance.now() - began < 10_000)
  })
}

t.test('a queue closes soon while Redis hangs', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  setup.work(queue)
  await queue.add(newEvent())
  await until(() => setup.runs.length === 1, 'it works')
  process.kill(setup.server.pid, 'SIGSTOP')
  t.teardown(() => process.kill(setup.server.pid, 'SIGCONT'))
  const began = performance.now()
  await queue.close(60_000)
  t.ok(performance.now() - began < 15_000)
})

/** How many commands reach the server in `ms`. */
async function commandsIn ({ admin }: Setup, ms: number): Promise<number> {
  const count = async () => Number(/total_commands_processed:(\d+)/.exec(await admin.info('stats'))?.[1])
  const before = await count()
  await sleep(ms)
  return await count() - before
}
