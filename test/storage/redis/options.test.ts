import { Redis } from 'ioredis'
import t from 'tap'
import { EVENT_SCRIPTS } from '../../../src/storage/redis/events.ts'
import { REDIS_COMMANDS } from '../../../src/storage/redis/commands.ts'
import { appKeys } from '../../../src/storage/redis/keys.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { secret } from '../../helpers/secrets.ts'
import { until } from '../../helpers/until.ts'
import { newEvent, newStored } from '../contract/trial.ts'
import { APP, clientsOf, setUp, UNAVAILABLE, type Setup } from './setup.ts'

t.setTimeout(120_000)

t.test('has one connection, and one more only when it works', async t => {
  const setup = await setUp(t)
  const others = (await clientsOf(setup)).length
  const storage = await setup.storage()
  await storage.events.add([newStored()])
  t.equal((await clientsOf(setup)).length, others + 1)
  await storage.events.onWaiting(() => {})
  t.equal((await clientsOf(setup)).length, others + 2)
  await storage.close()
  await until(async () => (await clientsOf(setup)).length === others, 'all are closed')
})

t.test('stays beside a client of the caller, whatever its options, keeps its prefix, and leaves it open', async t => {
  const setup = await setUp(t)
  const options = { keyPrefix: 'mine:', maxRetriesPerRequest: null, enableAutoPipelining: true, stringNumbers: true, enableOfflineQueue: false, autoResendUnfulfilledCommands: true }
  const client = new Redis(setup.server.url, options)
  t.teardown(() => client.disconnect())
  await new Promise(resolve => client.once('ready', resolve))
  await worksOn(setup, client)
  await worksOn(setup, { ...options, port: setup.server.port, host: '127.0.0.1' })
  t.equal(await client.ping(), 'PONG')
  const keys = await setup.admin.keys('*')
  t.ok(keys.length > 3)
  t.same(keys.filter(key => !key.startsWith(`mine:b24:{${APP}}:`)), [])
})

async function worksOn (setup: Setup, option: Redis | object) {
  const storage = await setup.storage({}, option as never)
  let wakes = 0
  await storage.events.onWaiting(() => { wakes++ })
  const queue = await setup.open({}, option as never)
  const runs = setup.runs.length
  setup.work(queue, async ({ attempt }) => attempt === 1 ? { status: 'later', delayMs: 1 } : { status: 'done' })
  await queue.add(newEvent())
  await until(() => setup.runs.length > runs, 'it is handled')
  await until(() => wakes > 0, 'the channel is heard')
  const lock = await storage.locks.take('x', 1_000)
  t.ok(lock)
  t.equal(await storage.locks.take('x', 1_000), undefined)
  await lock?.release()
  t.strictSame(await queue.counts().then(({ dead }) => dead), 0)
  await queue.close(1_000)
  await storage.close()
}

t.test('keeps no trace of what was handled but counters', async t => {
  const setup = await setUp(t)
  const queue = await setup.open()
  setup.work(queue)
  await Promise.all(Array.from({ length: 500 }, async (_, i) => await queue.add(newEvent({ memberId: `p${i % 9}`, key: `deal:${i % 7}`, coalesce: i % 2 === 0 }))))
  await until(async () => (await queue.counts()).waiting + (await queue.counts()).active === 0, 'all is handled')
  await queue.close(1_000)
  const rest = (await setup.admin.keys('*')).map(key => key.slice(setup.key('').length)).sort()
  t.strictSame(rest.filter(key => !/^(known|seq|totals|turn|clock|)$/.test(key)), [])
})

t.test('a user with the commands that are named is enough, and without any of them nothing opens', async t => {
  const setup = await setUp(t)
  const password = secret()
  const allow = async (commands: readonly string[]) => await setup.admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~b24:*', '&b24:*', '+info', ...commands.map(command => `+${command.toLowerCase()}`))
  const url = `redis://app:${password}@127.0.0.1:${setup.server.port}`
  await allow(REDIS_COMMANDS)
  const queue = await setup.open({}, url)
  setup.work(queue)
  await queue.add(newEvent({ key: 'deal:1' }))
  await until(() => setup.runs.length === 1, 'it is handled')
  await queue.close(1_000)
  for (const command of ['HSET', 'ZPOPMIN', 'TIME', 'PUBLISH', 'SUBSCRIBE', 'MGET', 'EVAL', 'SPOP']) {
    await allow(REDIS_COMMANDS.filter(name => name !== command))
    await t.rejects(setup.storage({}, url), { ...UNAVAILABLE, cause: { message: new RegExp(`may not use ${command}: `) } }, command)
  }
  await setup.admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~other:*', '&b24:*', '+info', ...REDIS_COMMANDS.map(command => `+${command.toLowerCase()}`))
  await t.rejects(setup.storage({}, url), UNAVAILABLE, 'other keys')
  await setup.admin.call('ACL', 'SETUSER', 'app', 'reset', 'on', `>${password}`, '~b24:*', 'resetchannels', '+info', ...REDIS_COMMANDS.map(command => `+${command.toLowerCase()}`))
  await t.rejects(setup.storage({}, url), { ...UNAVAILABLE, cause: { message: /PUBLISH/ } }, 'the channel')
})

t.test('names every command of its scripts', async t => {
  const used = new Set(Object.values(EVENT_SCRIPTS).flatMap(lua => [...lua.matchAll(/call\('([A-Z]+)'/g)].map(([, command]) => command!)))
  t.ok(used.size > 25)
  t.strictSame([...used].filter(command => !REDIS_COMMANDS.includes(command)), [])
})

t.test('does not start on what another version of the plugin keeps', async t => {
  const setup = await setUp(t)
  await (await setup.storage()).close()
  await (await setup.storage()).close()
  await setup.admin.set(appKeys(APP).layout, '99')
  await t.rejects(setup.storage(), { code: 'FST_B24_STORAGE_LAYOUT', message: /99/ })
})

t.test('waits for the configured number of replicas', async t => {
  const setup = await setUp(t)
  const alone = await setup.storage({ waitReplicas: 1 })
  const began = performance.now()
  await t.rejects(alone.events.add([newStored()]), { ...UNAVAILABLE, cause: { message: /0 of 1 replicas/ } })
  t.ok(performance.now() - began < 900)
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(setup.server.port)] })
  t.teardown(() => replica.stop())
  await until(async () => /master_link_status:up/.test(await infoOf(replica.url)), 'the replica follows')
  t.strictSame(await alone.events.add([newStored(), newStored()]), ['stored', 'stored'])
})

t.test('limits waiting events to half of the memory of Redis by default', async t => {
  const setup = await setUp(t)
  await setup.admin.config('SET', 'maxmemory', '64mb')
  const { events } = await setup.storage()
  const body = JSON.stringify('x'.repeat(1_000_000))
  let stored = 0
  while ((await events.add([newStored({ body })]))[0] === 'stored') stored++
  t.equal(stored, 8, 'a quarter of half')
})

async function infoOf (url: string): Promise<string> {
  const client = new Redis(url)
  try {
    return await client.info('replication')
  } finally {
    client.disconnect()
  }
}
