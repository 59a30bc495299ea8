import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { decodeRecord, encodeRecord } from '../../../src/storage/install-record.ts'
import { RedisInstallStore } from '../../../src/storage/redis/installs.ts'
import type { BoundedClient, RedisOption } from '../../../src/storage/redis/connect.ts'
import { connectRedis } from '../../helpers/connect-redis.ts'
import { appId, appKeys } from '../../../src/storage/redis/keys.ts'
import { sampleInstall } from '../../../src/testing/install-store-contract.ts'
import { startRedis, type RedisServer } from '../../helpers/redis-server.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

/** An app of its own for each test, so that runs on one Redis do not meet. */
function newApp (): string {
  return appId(`local.${randomBytes(16).toString('hex')}`)
}

async function server (t: Test, args: string[] = []): Promise<RedisServer> {
  const redis = await startRedis({ args })
  t.teardown(() => redis.stop())
  return redis
}

async function client (t: Test, option: RedisOption): Promise<BoundedClient> {
  const { client, close } = await connectRedis(option)
  t.teardown(close)
  return client
}

t.test('RedisInstallStore', async t => {
  const url = process.env['REDIS_URL'] || (await server(t)).url
  const raw = new Redis(url)
  t.teardown(() => raw.disconnect())
  const redis = await client(t, url)

  await t.test('one app does not see the installs of another', async t => {
    const app = newApp()
    const store = new RedisInstallStore(redis, app)
    const install = sampleInstall('a')
    await store.swap('a', 0, install)
    t.teardown(() => raw.del(appKeys(app).install('a'), appKeys(app).installs))
    const other = new RedisInstallStore(redis, newApp())
    t.equal(await other.get('a'), undefined)
    t.strictSame(await other.scan(), { installs: [] })
  })

  await t.test('knows its own write when a lost connection repeats it', async t => {
    const app = newApp()
    const keys = appKeys(app)
    t.teardown(() => raw.del(keys.install('a'), keys.installs))
    const sent: Array<[string, number, ...Array<string | number>]> = []
    const store = new RedisInstallStore({
      ...redis,
      eval: (...command) => {
        sent.push(command)
        return redis.eval(...command)
      }
    }, app)
    t.equal(await store.swap('a', 0, sampleInstall('a')), true)
    t.equal(await redis.eval(...sent[0] as typeof sent[0] & {}), 1, 'the repeated command is recognized as done')
    t.equal((await store.get('a'))?.version, 1)
    t.equal(await store.swap('a', 0, sampleInstall('a')), false, 'a rival with the same version is not')
  })

  await t.test('a full Redis takes nothing and says so', async t => {
    const full = await server(t, ['--maxmemory-policy', 'noeviction'])
    const admin = new Redis(full.url)
    t.teardown(() => admin.disconnect())
    const store = new RedisInstallStore(await client(t, full.url), newApp())
    const install = sampleInstall('a')
    await store.swap('a', 0, install)
    await admin.config('SET', 'maxmemory', '1mb')
    await t.rejects(store.swap('a', 1, { ...install, domain: 'new.example' }), { ...UNAVAILABLE, cause: { message: /^OOM/ } })
    await t.rejects(store.swap('b', 0, sampleInstall('b')), UNAVAILABLE)
    t.strictSame(await store.get('a'), { version: 1, install })
    t.equal(await store.get('b'), undefined)
    t.strictSame(await store.scan(), { installs: [install] })
    await admin.config('SET', 'maxmemory', '0')
    t.equal(await store.swap('b', 0, sampleInstall('b')), true)
  })

  await t.test('rejects an unreadable record without quoting it', async t => {
    const app = newApp()
    const keys = appKeys(app)
    const store = new RedisInstallStore(redis, app)
    await store.swap('a', 0, sampleInstall('a'))
    t.teardown(() => raw.del(keys.install('a'), keys.installs))
    const whole = encodeRecord(1, sampleInstall('a'))
    for (const value of ['', 'encrypted-text', '1.x {"encrypted-text', '1.x null', '1.x []', whole.slice(0, -1), whole.slice(1), encodeRecord(1, sampleInstall('b'))]) {
      await raw.set(keys.install('a'), value)
      for (const read of [store.get('a'), store.scan()]) {
        const error = await read.catch(error => error)
        t.match(error, { ...UNAVAILABLE, cause: { message: 'The record of portal a is unreadable' } })
      }
    }
    t.strictSame(decodeRecord('a', whole).version, 1)
    await raw.del(keys.install('a'))
    t.strictSame(await store.scan(), { installs: [] }, 'a record that someone deleted is no error')
  })
})
