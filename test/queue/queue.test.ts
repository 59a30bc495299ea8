import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { openBullQueue } from '../../src/queue/bull/bull-queue.ts'
import { openEmbeddedQueue } from '../../src/queue/embedded/embedded-queue.ts'
import { startRedisCluster } from '../helpers/redis-cluster.ts'
import { startRedis } from '../helpers/redis-server.ts'
import type { OpenQueue } from './contract/trial.ts'
import { queueContract } from './queue-contract.ts'

/** Cases that run at the same time. */
const SIDE_BY_SIDE = 4

t.setTimeout(300_000)

t.test('the embedded queue keeps the contract', async t => {
  const dataDir = t.testdir()
  await holds(t, (app, settings) => openEmbeddedQueue(dataDir, app, settings))
})

t.test('the queue on Redis keeps the contract', async t => {
  const url = process.env['REDIS_URL'] || await ownServer(t)
  const redis = new Redis(url)
  const apps = new Set<string>()
  t.teardown(async () => {
    for (const app of apps) {
      const keys = await redis.keys(`b24:{${app}}:*`)
      if (keys.length > 0) await redis.del(...keys)
    }
    redis.disconnect()
  })
  await holds(t, (app, settings) => openBullQueue(url, apps.add(app) && app, settings))
})

t.test('the queue on a Cluster of three nodes keeps the contract', async t => {
  const nodes = await startRedisCluster()
  t.teardown(() => nodes.stop())
  const cluster = nodes.client()
  t.teardown(() => cluster.disconnect())
  await holds(t, (app, settings) => openBullQueue(cluster, app, settings))
  t.ok(cluster.nodes('master').length === 3)
})

async function holds (t: Test, open: OpenQueue): Promise<void> {
  t.jobs = SIDE_BY_SIDE
  await Promise.all(queueContract(open).map(({ name, run }) => t.test(name, async t => {
    await run()
    t.pass(name)
  })))
}

async function ownServer (t: Test): Promise<string> {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  return redis.url
}
