import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { openLmdb } from '../../../src/embedded/lmdb.ts'
import { EmbeddedLocks } from '../../../src/portal/locks/embedded-locks.ts'
import type { Lock, Locks } from '../../../src/storage/locks.ts'
import { RedisLocks } from '../../../src/storage/redis/locks.ts'
import { connectRedis } from '../../../src/storage/redis/connect.ts'
import { appId, appKeys } from '../../../src/storage/redis/keys.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }
const LONG = 60_000

/** Opens the same locks again at each call. */
type Open = () => Promise<Locks>

const ADAPTERS: Array<[name: string, prepare: (t: Test) => Promise<Open>]> = [
  ['RedisLocks', async t => {
    const app = newApp()
    return async () => new RedisLocks(await connection(t), app)
  }],
  ['EmbeddedLocks', async t => {
    const dataDir = temporaryFolder(t)
    return async () => {
      const locks = await EmbeddedLocks.open(dataDir, 'app')
      t.teardown(() => locks.end())
      return locks
    }
  }]
]

async function connection (t: Test, url = process.env['REDIS_URL'] as string) {
  const { client, close } = await connectRedis(url, () => {})
  t.teardown(close)
  return client
}

function newApp (): string {
  return appId(`local.${randomBytes(16).toString('hex')}`)
}

for (const [name, prepare] of ADAPTERS) {
  t.test(name, async t => {
    const open = await prepare(t)
    const [one, other] = [await open(), await open()]

    await t.test('one holds a lock until it is released', async t => {
      const lock = await one.take('a', LONG)
      t.ok(lock)
      t.equal(await other.take('a', LONG), undefined)
      t.equal(await one.take('a', LONG), undefined, 'not even the same process twice')
      const beside = await other.take('b', LONG)
      t.ok(beside, 'another name is another lock')
      await lock?.release()
      const next = await other.take('a', LONG)
      t.ok(next)
      await Promise.all([next?.release(), beside?.release()])
    })

    await t.test('of many who take at once, one has it', async t => {
      const taken = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? one : other).take('many', LONG)))
      const held = taken.filter((lock): lock is Lock => lock !== undefined)
      t.equal(held.length, 1)
      await held[0]?.release()
    })

    await t.test('a lock lapses, and who held it can do nothing about the next', async t => {
      const lapsed = await one.take('brief', 500)
      t.equal(await other.take('brief', LONG), undefined)
      let next: Lock | undefined
      await until(async () => (next = await other.take('brief', LONG)) !== undefined, 'it lapses')
      t.equal(await lapsed?.renew(LONG), false)
      await lapsed?.release()
      t.equal(await one.take('brief', LONG), undefined, 'the next holder still has it')
      await next?.release()
    })

    await t.test('a lock that is renewed does not lapse', async t => {
      const lock = await one.take('renewed', 500)
      t.equal(await lock?.renew(LONG), true)
      await sleep(600)
      t.equal(await other.take('renewed', LONG), undefined)
      await lock?.release()
      t.equal(await lock?.renew(LONG), false, 'once released, it is not held')
    })

    await t.test('a lock that lapsed and that nobody has cannot be renewed', async t => {
      const lock = await one.take('empty', 40)
      await sleep(80)
      t.equal(await lock?.renew(LONG), false)
    })
  })
}

t.test('RedisLocks: nothing stays in Redis for longer than a lock', async t => {
  const raw = new Redis(process.env['REDIS_URL'] as string)
  t.teardown(() => raw.disconnect())
  const app = newApp()
  const locks = new RedisLocks(await connection(t), app)
  const lock = await locks.take('a', LONG)
  const life = await raw.pttl(appKeys(app).lock('a'))
  t.ok(life > LONG - 10_000 && life <= LONG, `${life} ms`)
  await lock?.release()
  t.strictSame(await raw.keys(`b24:{${app}}:*`), [])
})

t.test('RedisLocks: a lost connection that repeats a command does not lock out its own process', async t => {
  const client = await connection(t)
  const locks = new RedisLocks({
    ...client,
    eval: async (...command) => {
      await client.eval(...command)
      return await client.eval(...command)
    }
  }, newApp())
  const lock = await locks.take('a', LONG)
  t.ok(lock)
  t.equal(await lock?.renew(LONG), true)
  await lock?.release()
})

t.test('RedisLocks: says that Redis is away', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const locks = new RedisLocks(await connection(t, server.url), newApp())
  const lock = await locks.take('a', LONG)
  await server.kill()
  await t.rejects(locks.take('b', LONG), UNAVAILABLE)
  await t.rejects(lock!.renew(LONG), UNAVAILABLE)
  await t.resolves(lock!.release())
})

t.test('EmbeddedLocks: says that it cannot work', async t => {
  const folder = temporaryFolder(t)
  const locks = await EmbeddedLocks.open(folder, 'app')
  const lock = await locks.take('a', LONG)
  await t.rejects(locks.take('x'.repeat(5000), LONG), UNAVAILABLE, 'a key that LMDB cannot take')
  await locks.end()
  await t.rejects(locks.take('b', LONG), UNAVAILABLE)
  await t.rejects(lock!.renew(LONG), UNAVAILABLE)
  await t.resolves(lock!.release())
  await t.rejects(EmbeddedLocks.open(`${folder}/app/locks/data.mdb`, 'app'), UNAVAILABLE)
})

t.test('EmbeddedLocks: who asks for a lock that is held waits for no write', async t => {
  const folder = temporaryFolder(t)
  const locks = await EmbeddedLocks.open(folder, 'app')
  const inside = await openLmdb(folder, 'app', 'locks', { encoding: 'json' })
  t.teardown(async () => { await Promise.all([locks.end(), inside.close()]) })
  await locks.take('a', LONG)
  let isWriting = false
  const writing = inside.transaction(async () => {
    isWriting = true
    await sleep(1_500)
  })
  await until(() => isWriting, 'it writes')
  t.equal(await locks.take('a', LONG), undefined)
  await t.rejects(locks.take('b', LONG), UNAVAILABLE, 'as nobody can write')
  await writing
})

t.test('EmbeddedLocks: a clock that was set back does not keep a lock for ever', async t => {
  const folder = temporaryFolder(t)
  const inside = await openLmdb(folder, 'app', 'locks', { encoding: 'json' })
  await inside.put('a', { holder: 'gone', endsAt: Date.now() + 3_600_000, ttlMs: 1_000 })
  await inside.close()
  const locks = await EmbeddedLocks.open(folder, 'app')
  t.teardown(() => locks.end())
  t.ok(await locks.take('a', LONG))
})
