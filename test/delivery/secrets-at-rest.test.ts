import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { waitForIdle } from '../../src/testing/index.ts'
import { appId } from '../../src/storage/redis/keys.ts'
import { buildWorld, temporaryFolder, type World } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'

/** Everything that is stored of an app, as bytes. */
type ReadAll = () => Promise<Buffer>

const PLACES: Array<{ name: string, open: (t: Test) => { options: { dataDir: string } | { redis: string }, all: (world: World) => ReadAll } }> = [
  {
    name: 'SQLite',
    open: (t) => {
      const dataDir = temporaryFolder(t)
      return { options: { dataDir }, all: () => async () => bytesOf(dataDir) }
    }
  },
  {
    name: 'Redis',
    open: (t) => {
      const url = process.env['REDIS_URL'] as string
      const redis = new Redis(url)
      t.teardown(() => redis.disconnect())
      return { options: { redis: url }, all: ({ clientId }) => () => dumpOf(redis, appId(clientId)) }
    }
  }
]

for (const { name, open } of PLACES) {
  t.test(`no secret of an install is stored in the clear, whatever becomes of it, ${name}`, { timeout: 60_000 }, async t => {
    const { options, all } = open(t)
    const world = await buildWorld(t, { ...options, delivery: { backoffMs: 5, attempts: 2 } })
    const { app: { bitrix24 }, b24, eventsUrl } = world
    const bytes = all(world)
    const findSecrets = async () => {
      const stored = await bytes()
      t.ok(stored.includes(portal.memberId), 'the install is stored')
      return b24.secrets().filter(value => stored.includes(value)).length
    }
    bitrix24.addHook('onInstall', async () => { throw new Error('no disk') })
    const portal = b24.portal('acme.bitrix24.com')
    b24.fault('app.info', { status: 503, body: '{}' })
    t.equal((await portal.install(eventsUrl)).statusCode, 200)
    await until(() => b24.requests.length >= 2, 'it is tried again')
    t.equal(await findSecrets(), 0, 'put off until the OAuth server answers')
    b24.clearFaults()
    await until(async () => (await bitrix24.health()).queue?.dead === 1, '1 dead')
    await waitForIdle(bitrix24)
    t.equal(await findSecrets(), 0, 'a dead letter')
    t.equal((await portal.userReady()).statusCode, 200)
    await waitForIdle(bitrix24)
    t.equal(await findSecrets(), 0, 'another lifecycle event')
  })
}

function bytesOf (folder: string): Buffer {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return Buffer.concat(files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))))
}

async function dumpOf (redis: Redis, app: string): Promise<Buffer> {
  const parts: string[] = []
  for (const key of await redis.keys(`b24:{${app}}:*`)) {
    const type = await redis.type(key) as 'string' | 'hash' | 'zset' | 'list'
    const read = { string: () => redis.get(key), hash: () => redis.hgetall(key), zset: () => redis.zrange(key, '0', '-1'), list: () => redis.lrange(key, 0, -1) }[type]
    parts.push(JSON.stringify(await read?.()) ?? '')
  }
  return Buffer.from(parts.join())
}
