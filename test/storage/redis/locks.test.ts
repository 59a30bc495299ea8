import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { connectRedis } from '../../helpers/connect-redis.ts'
import { appId, appKeys } from '../../../src/storage/redis/keys.ts'
import { RedisLocks } from '../../../src/storage/redis/locks.ts'
import { startRedis } from '../../helpers/redis-server.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }
const LONG = 60_000

async function connection (t: Test, url = process.env['REDIS_URL'] as string) {
  const { client, close } = await connectRedis(url)
  t.teardown(close)
  return client
}

function newApp (): string {
  return appId(`local.${randomBytes(16).toString('hex')}`)
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

t.test('RedisLocks: rejects while Redis is unavailable', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const locks = new RedisLocks(await connection(t, server.url), newApp())
  const lock = await locks.take('a', LONG)
  await server.kill()
  await t.rejects(locks.take('b', LONG), UNAVAILABLE)
  await t.rejects(lock!.renew(LONG), UNAVAILABLE)
  await t.resolves(lock!.release())
})
