import { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { bounded, type RedisOption } from '../../../src/storage/redis/connect.ts'
import { bareError, storeUnavailable, withinDeadline } from '../../../src/storage/unavailable.ts'
import { appId, appKeys } from '../../../src/storage/redis/keys.ts'
import { connectRedis, type RedisConnection } from '../../helpers/connect-redis.ts'
import { freePort, startRedis, type RedisServer } from '../../helpers/redis-server.ts'
import { secret } from '../../helpers/secrets.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }
/** What a busy machine may add. */
const SLACK_MS = 1_500
/** A second, as this machine may see it; what waits for ioredis's own retries waits longer. */
const SECOND_MS = 1_000 + SLACK_MS

async function server (t: Test, args: string[] = []): Promise<RedisServer> {
  const redis = await startRedis({ args })
  t.teardown(() => redis.stop())
  return redis
}

async function connection (t: Test, option: RedisOption): Promise<RedisConnection & { logs: Error[] }> {
  const logs: Error[] = []
  const opened = await connectRedis(option, error => logs.push(error))
  t.teardown(() => opened.close())
  return { ...opened, logs }
}

/** Time until the promise is rejected as a store's failure, ms. */
async function timeToReject (t: Test, promise: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await t.rejects(promise, UNAVAILABLE)
  return performance.now() - start
}

/** Time until the client answers again, ms; asks every 20 ms. */
async function timeToRecover (client: RedisConnection['client']): Promise<number> {
  const start = performance.now()
  while (await client.get('k').catch(() => undefined) === undefined) await sleep(20)
  return performance.now() - start
}

t.test('keys', async t => {
  const app = appId('local.65a1b2c3d4e5f6.01234567')
  t.match(app, /^[0-9a-f]{16}$/)
  t.equal(app, appId('local.65a1b2c3d4e5f6.01234567'), 'the same for the same app')
  t.not(app, appId('app.65a1b2c3d4e5f6.01234567'), 'another for another app')
  const keys = appKeys(app)
  t.equal(keys.install('a223c6b3'), `b24:{${app}}:install:a223c6b3`)
  t.equal(keys.installs, `b24:{${app}}:installs`, 'carries the same hash tag')
})

t.test('a deadline', async t => {
  t.equal(await withinDeadline(Promise.resolve('in time')), 'in time')
  const late = await withinDeadline(sleep(500), 20).catch(error => error)
  t.match(late, { ...UNAVAILABLE, cause: { message: 'No answer within 20 ms' } })
  await t.rejects(withinDeadline(Promise.reject(new Error('down')), 20), { ...UNAVAILABLE, cause: { message: 'down' } })
})

t.test('the error of a store shows message and code of its cause, and nothing else of it', async t => {
  const password = secret()
  const cause = Object.assign(new Error('WRONGPASS'), { code: 'E', command: { name: 'hello', args: [3, 'AUTH', 'default', password] } })
  t.notMatch(inspect(storeUnavailable(cause), { depth: 9 }), password)
  t.strictSame({ ...bareError(cause) }, { code: 'E' })
  const given = Object.assign(new Error('Refer to "maxRetriesPerRequest" option for details.'), { name: 'MaxRetriesPerRequestError' })
  t.equal(bareError(given).message, 'No connection to Redis')
  t.equal(bareError(Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' })).message, 'ECONNREFUSED')
})

t.test('connects by URL, by options and by a client of the caller', async t => {
  const redis = await server(t)
  const own = new Redis(redis.url)
  t.teardown(() => own.disconnect())
  for (const [name, option] of [['URL', redis.url], ['options', { port: redis.port }], ['client', own]] as const) {
    const { client, close } = await connection(t, option)
    t.equal(await client.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, 'k', name), 'OK')
    t.equal(await client.get('k'), name)
    await close()
    await t.rejects(client.get('k'), UNAVAILABLE, 'closed')
  }
  t.equal(await own.get('k'), 'client', 'a client of the caller stays open')
})

t.test('a read goes at once; those of one turn meanwhile travel in one command, and fail together', async t => {
  const redis = await server(t)
  const raw = new Redis(redis.url)
  t.teardown(() => raw.disconnect())
  await raw.mset({ a: 'of a', b: 'of b' })
  const asked: string[][] = []
  const mget = async (keys: string[]) => {
    asked.push(keys)
    if (keys.includes('bad')) throw new Error('down')
    return await raw.mget(keys)
  }
  const client = bounded({ mget, eval: async () => null })
  t.strictSame(await Promise.all(['b', 'none', 'a', 'b'].map(key => client.get(key))), ['of b', null, 'of a', 'of b'])
  const first = client.get('a')
  t.equal(asked.length, 3, 'nobody asks before it')
  const others = Promise.all(['b', 'bad'].map(key => t.rejects(client.get(key), { ...UNAVAILABLE, cause: { message: 'down' } }, key)))
  t.equal(await first, 'of a')
  await others
  t.strictSame(asked, [['b'], ['none', 'a', 'b'], ['a'], ['b', 'bad']])
})

t.test('refuses a string that is no URL of Redis, and does not repeat it', async t => {
  const password = secret()
  for (const url of [`user:${password}@redis.internal:6379`, `http://:${password}@127.0.0.1`, `redis://:${password}@[`]) {
    const error = await connectRedis(url, () => {}).catch(error => error)
    t.match(error, { code: 'FST_B24_INVALID_OPTIONS' })
    t.notMatch(inspect(error, { depth: 9 }), password)
  }
})

t.test('waits for a Redis at the start until the deadline, then says why', async t => {
  const deadlineMs = 500
  const password = secret()
  const frozen = await server(t)
  process.kill(frozen.pid, 'SIGSTOP')
  t.teardown(() => process.kill(frozen.pid, 'SIGCONT'))
  const lazy = new Redis(await freePort(), { lazyConnect: true })
  lazy.on('error', () => {})
  t.teardown(() => lazy.disconnect())
  const down = await freePort()
  const table: Array<[name: string, option: RedisOption, cause: RegExp]> = [
    ['nobody listens', `redis://:${password}@127.0.0.1:${down}`, /^connect ECONNREFUSED 127\.0\.0\.1:\d+$/],
    ['no answer', frozen.url, /^No answer within 500 ms$/],
    ['client of the caller', lazy, /^connect ECONNREFUSED/]
  ]
  await Promise.all(table.map(async ([name, option, cause]) => {
    const logs: Error[] = []
    const start = performance.now()
    const error = await connectRedis(option, error => logs.push(error), deadlineMs).catch(error => error)
    const took = performance.now() - start
    t.match(error, { ...UNAVAILABLE, cause: { message: cause } }, name)
    t.ok(took > deadlineMs - 10 && took < deadlineMs + SLACK_MS, `${name}: ${Math.round(took)} ms`)
    t.notMatch(inspect([error, logs], { depth: 9 }), password, `${name}: no password`)
  }))
})

t.test('what cannot pass by waiting fails at once', async t => {
  const password = secret()
  const locked = await server(t, ['--requirepass', secret()])
  const table: Array<[name: string, option: RedisOption, cause: RegExp]> = [
    ['wrong password', `redis://:${password}@127.0.0.1:${locked.port}`, /^WRONGPASS/],
    ['no password', locked.url, /^NOAUTH Redis requires a password$/]
  ]
  for (const [name, option, cause] of table) {
    const error = await connectRedis(option, () => {}, 60_000).catch(error => error)
    t.match(error, { ...UNAVAILABLE, cause: { message: cause } }, name)
    t.notMatch(inspect(error, { depth: 9 }), password)
  }
  for (const db of ['abc', '-1', '1x']) {
    await t.rejects(connectRedis(`${locked.url}/${db}`, () => {}), { code: 'FST_B24_INVALID_OPTIONS', message: /database by a number/ })
    await t.rejects(connectRedis({ db: db as never }, () => {}), { code: 'FST_B24_INVALID_OPTIONS' })
  }
})

t.test('connects to a Redis that comes up while it waits', async t => {
  const port = await freePort()
  const opening = connection(t, `redis://127.0.0.1:${port}`)
  await sleep(300)
  const redis = await startRedis({ port })
  t.teardown(() => redis.stop())
  const { client, logs } = await opening
  t.equal(await client.get('k'), null)
  t.equal(logs.length, 1, 'one kind of error is logged once')
})

t.test('an own client', async t => {
  await t.test('fails within a second while Redis is gone, logs it once, and comes back by itself', async t => {
    const redis = await server(t)
    const { client, logs } = await connection(t, redis.url)
    for (const outage of ['first', 'second']) {
      logs.length = 0
      const inFlight = client.eval('while true do end', 0)
      inFlight.catch(() => {})
      await sleep(50)
      await redis.kill()
      t.ok(await timeToReject(t, inFlight) < SECOND_MS, 'what was under way')
      for (let i = 0; i < 2; i++) t.ok(await timeToReject(t, client.get('k')) < SECOND_MS, 'what is asked now')
      t.ok(logs.length > 0 && logs.length <= 2, `${outage} outage: a line each for the loss and for the attempts to come back`)
      await redis.restart()
      const took = await timeToRecover(client)
      t.ok(took < SECOND_MS, `recovers within a second of the server: ${Math.round(took)} ms`)
    }
  })

  await t.test('waits through a blip, so that it costs no event', async t => {
    const redis = await server(t)
    const { client } = await connection(t, redis.url)
    // On a busy machine the server itself may be back too late.
    let answers: unknown[] = []
    for (let tries = 0; tries < 5 && !answers.includes(null); tries++) {
      await redis.kill()
      await sleep(10)
      const asked = client.get('k').catch((error: Error) => error)
      await redis.restart()
      answers = [...answers, await asked]
    }
    t.ok(answers.includes(null), `${answers.length} blips`)
  })

  await t.test('fails within a second while Redis hangs, and answers once it goes on', async t => {
    const redis = await server(t)
    const { client } = await connection(t, redis.url)
    process.kill(redis.pid, 'SIGSTOP')
    const took = await timeToReject(t, client.get('k'))
    t.ok(took < SECOND_MS, `${Math.round(took)} ms`)
    process.kill(redis.pid, 'SIGCONT')
    t.equal(await client.get('k'), null)
  })

  await t.test('leaves a server that has become a replica', async t => {
    const redis = await server(t)
    const { client } = await connection(t, redis.url)
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    const before = await admin.info('stats')
    await admin.replicaof('127.0.0.1', await freePort())
    const write = (): Promise<unknown> => client.eval("return redis.call('SET', KEYS[1], 1)", 1, 'k')
    await t.rejects(write(), { ...UNAVAILABLE, cause: { message: /^READONLY/ } })
    await admin.replicaof('NO', 'ONE')
    t.equal(await client.get('k'), null)
    t.equal(await write(), 'OK')
    const connections = (info: string): number => Number(/total_connections_received:(\d+)/.exec(info)?.[1])
    t.ok(connections(await admin.info('stats')) > connections(before), 'over a new connection')
  })

  await t.test('closes while Redis is gone', async t => {
    const redis = await server(t)
    const { client, close } = await connection(t, redis.url)
    await redis.kill()
    client.get('k').catch(() => {})
    const start = performance.now()
    await close()
    t.ok(performance.now() - start < SECOND_MS)
  })
})
