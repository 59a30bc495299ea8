import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openRedisStorage } from '../../../src/storage/redis/storage.ts'
import { freePort } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { newEvent, newLatch } from '../contract/trial.ts'
import { APP, clientsOf, setUp, UNAVAILABLE, type Setup } from './setup.ts'

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

t.setTimeout(180_000)

t.test('does not open without Redis', async t => {
  const deadLetters = { maxAgeMs: 1, maxCount: 1, maxBytes: 1 }
  const settings = { app: APP, events: { attempts: 1, deadLetters, maxWaitingBytes: 1 }, waitReplicas: 0, onError: () => {}, onReady: () => {}, onWarning: () => {} }
  await t.rejects(openRedisStorage(`redis://127.0.0.1:${await freePort()}`, settings, 100), UNAVAILABLE)
})

t.test('leaves no connection behind when it cannot be opened', async t => {
  const setup = await setUp(t)
  await setup.admin.acl('SETUSER', 'default', '-zpopmin')
  await t.rejects(setup.storage(), { ...UNAVAILABLE, cause: { message: /ZPOPMIN/ } })
  await until(async () => (await clientsOf(setup)).length === 1, 'only the one that looks is left', 3_000)
})

t.test('rejects what a full server does not take, and works on all the same', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  for (let i = 0; i < 10; i++) await queue.add(newEvent({ key: `deal:${i}`, coalesce: true }))
  await setup.admin.config('SET', 'maxmemory', '1')
  for (const event of [newEvent(), newEvent({ isPriority: true }), newEvent({ key: 'deal:1', coalesce: true })]) await t.rejects(queue.add(event), UNAVAILABLE)
  setup.work(queue, async run => {
    await run.save('kept')
    return run.attempt === 1 ? { status: 'failed', error: new Error('no') } : { status: 'done' }
  })
  await until(() => setup.runs.length === 20, 'all are handled')
  t.ok(setup.runs.slice(10).every(({ progress }) => progress === 'kept'))
  t.strictSame(setup.errors, [])
  await setup.admin.config('SET', 'maxmemory', '0')
  await queue.add(newEvent())
  await until(() => setup.runs.length === 22, 'it takes events')
})

t.test('answers within a second while Redis hangs, and goes on with what nobody took over', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 1_000 })
  const latch = newLatch()
  setup.work(queue, async () => {
    await latch.opened
    return { status: 'done' }
  })
  await queue.add(newEvent({ key: 'deal:1' }))
  await until(() => setup.runs.length === 1, 'it runs')
  process.kill(setup.server.pid, 'SIGSTOP')
  const began = performance.now()
  const asked: Array<Promise<unknown>> = [queue.add(newEvent()), queue.counts(), queue.deadLetters.list(), setup.runs[0]!.save(1)]
  for (const { reason } of await Promise.allSettled(asked) as PromiseRejectedResult[]) t.match(reason, UNAVAILABLE)
  t.ok(performance.now() - began < 1_500)
  await sleep(1_000)
  process.kill(setup.server.pid, 'SIGCONT')
  await until(() => queue.add(newEvent()).then(() => true, () => false), 'it takes events')
  t.equal(setup.runs[0]!.isAborted, false)
  latch.open()
  await until(async () => await queue.counts().then(({ active, waiting }) => active + waiting === 0, () => false), 'all is handled')
  t.equal(setup.runs.filter(({ event }) => (event as { key?: string }).key === 'deal:1').length, 1)
})

t.test('does not handle again what ended while Redis was away', async t => {
  const setup = await setUp(t, DURABLE)
  const queue = await setup.open({ stalledAfterMs: 10_000 })
  const latch = newLatch()
  setup.work(queue, async () => {
    await latch.opened
    return { status: 'done' }
  })
  for (let i = 0; i < 3; i++) await queue.add(newEvent({ key: `deal:${i}` }))
  await until(() => setup.runs.length === 3, 'they run')
  await setup.server.kill()
  const began = performance.now()
  await t.rejects(queue.add(newEvent()), UNAVAILABLE)
  t.ok(performance.now() - began < 1_000)
  latch.open()
  await sleep(300)
  await setup.server.restart()
  await until(async () => await queue.counts().then(({ active, waiting }) => active + waiting === 0, () => false), 'they are done')
  t.equal(setup.runs.length, 3)
  t.ok(setup.errors.length > 0)
  const began2 = performance.now()
  await queue.add(newEvent())
  await until(() => setup.runs.length === 4, 'and it goes on')
  t.ok(performance.now() - began2 < 900, 'without waiting for the next look: the channel is heard again')
})

t.test('handles every event though connections are cut all the time', async t => {
  const setup = await setUp(t)
  const queue = await setup.open({ stalledAfterMs: 60_000 })
  const handled = new Set<string>()
  setup.work(queue, async ({ event }) => {
    await sleep(1)
    handled.add((event as { id: string }).id)
    return { status: 'done' }
  })
  const events = Array.from({ length: 600 }, (_, i) => newEvent({ memberId: `portal-${i % 7}`, key: `deal:${i % 50}` }))
  const stored = new Set<string>()
  for (const [i, event] of events.entries()) {
    await queue.add(event).then(() => stored.add(event.id), () => {})
    if (i % 20 === 0) await setup.admin.call('CLIENT', 'KILL', 'SKIPME', 'yes')
  }
  t.ok(stored.size > 500, `${stored.size}`)
  // Nothing is left with a worker that does not know of it, though its lease goes on.
  await until(async () => await queue.counts().then(({ waiting, active }) => waiting + active === 0, () => false), 'all is handled')
  t.strictSame([...stored].filter(id => !handled.has(id)), [])
})

for (const [name, works, runs] of [['that never worked', false, false], ['that works', true, false], ['that handles an event', true, true]] as const) {
  t.test(`a queue ${name} closes soon when Redis is gone`, async t => {
    const setup = await setUp(t)
    const storage = await setup.storage()
    const queue = await setup.open()
    if (works) setup.work(queue, () => new Promise(() => {}))
    if (runs) await queue.add(newEvent({ key: 'deal:1' }))
    await until(() => setup.runs.length === Number(runs), 'it runs')
    await setup.server.kill()
    await until(() => setup.errors.length > 0, 'it knows')
    await sleep(200)
    const began = performance.now()
    await queue.close(runs ? 100 : 60_000)
    await storage.close()
    t.ok(performance.now() - began < 5_000)
  })
}

t.test('a queue closes soon while Redis hangs', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  setup.work(queue)
  await queue.add(newEvent())
  // It has ended, and that is not stored.
  await until(() => setup.runs.length === 1, 'it works')
  process.kill(setup.server.pid, 'SIGSTOP')
  t.teardown(() => process.kill(setup.server.pid, 'SIGCONT'))
  const began = performance.now()
  await queue.close(60_000)
  t.ok(performance.now() - began < 5_000)
})

t.test('asks seldom while Redis refuses', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  const latch = newLatch()
  setup.work(queue, async () => {
    await latch.opened
    return { status: 'done' }
  })
  await queue.add(newEvent())
  await until(() => setup.runs.length === 1, 'it runs')
  await setup.admin.acl('SETUSER', 'default', '-zrange')
  latch.open()
  const spent = await commandsIn(setup, 2_000)
  t.ok(spent < 40, `${spent}`)
  t.ok(setup.errors.length > 0)
  await setup.admin.acl('SETUSER', 'default', '+zrange')
  await queue.add(newEvent())
  await until(() => setup.runs.length === 2, 'it goes on')
})

/** How many commands reach the server in `ms`. */
async function commandsIn ({ admin }: Setup, ms: number): Promise<number> {
  const count = async () => Number(/total_commands_processed:(\d+)/.exec(await admin.info('stats'))?.[1])
  const before = await count()
  await sleep(ms)
  return await count() - before
}
