import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { FaultRun, ownDeal, type StartOptions } from '../helpers/fault-run.ts'
import { now } from '../helpers/journal.ts'
import { startRedisCluster } from '../helpers/redis-cluster.ts'
import { cutReplicasOff, startSentinel } from '../helpers/redis-sentinel.ts'
import type { RedisServer } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

/** How long the master takes events that none of its replicas gets. */
const ALONE_MS = 400
const LONGEST_AWAY_MS = 10_000
const DELIVERY = { stalledAfterMs: 1_000, backoffMs: 50 }

t.jobs = 4
t.setTimeout(120_000)

interface Place {
  run: FaultRun
  master: RedisServer
  start?: StartOptions
}

// A master that waits for one replica needs two of them, or it takes nothing once one of the servers is lost.
const PLACES: ReadonlyArray<{ name: string, open: (t: Test, waitReplicas: number) => Promise<Place> }> = [
  {
    name: 'a Sentinel failover',
    async open (t, waitReplicas) {
      const redis = await startSentinel({ replicas: 1 + waitReplicas })
      t.teardown(() => redis.stop())
      return { run: await FaultRun.open(t, { redis: redis.option }, { ...DELIVERY, waitReplicas }), master: redis.master }
    }
  },
  {
    name: 'a Cluster that loses a node',
    async open (t, waitReplicas) {
      const cluster = await startRedisCluster({ nodeTimeoutMs: 1_000 })
      t.teardown(() => cluster.stop())
      // The program makes the client: it is no option in JSON.
      const run = await FaultRun.open(t, { redis: '' }, { ...DELIVERY, waitReplicas })
      const master = await cluster.nodeOf(appKeys(appId(run.clientId)).events)
      for (let i = 0; i <= waitReplicas; i++) await cluster.addReplica(master)
      return { run, master, start: { clusterPorts: cluster.nodes.map(({ port }) => port) } }
    }
  }
]

for (const { name, open } of PLACES) {
  for (const waitReplicas of [1, 0]) {
    const what = `${name}, waitReplicas ${waitReplicas}`
    t.test(what, { buffered: true }, async t => {
      const { run, master, start } = await open(t, waitReplicas)
      const program = await run.startInstalled(start)
      const load = run.load(program, { orderOf: n => ({ ...ownDeal(n), MS: '100' }), concurrency: 4, pauseMs: 10 })
      await until(() => run.posts.filter(({ statusCode }) => statusCode === 200).length >= 50, 'it is under load')
      await cutReplicasOff(master)
      const cutAt = now()
      await sleep(ALONE_MS)
      const killedAt = now()
      await master.kill()
      await until(() => run.posts.some(({ beganAt, statusCode }) => statusCode === 200 && beganAt > killedAt), 'events are taken again', 30_000)
      await sleep(300)
      await load.stop()
      await run.waitForIdle(program)

      const awayMs = Math.min(...run.posts.filter(({ beganAt, statusCode }) => statusCode === 200 && beganAt > killedAt).map(({ endedAt }) => endedAt)) - killedAt
      const alone = run.posts.filter(({ beganAt, endedAt }) => beganAt > cutAt && endedAt < killedAt)
      t.comment(`${what}: taken again after ${Math.round(awayMs)} ms, ${alone.length} posts answered while no replica followed`)
      t.ok(awayMs < LONGEST_AWAY_MS, 'soon')
      t.strictSame(run.posts.filter(({ statusCode }) => statusCode !== 200 && statusCode !== 503), [], 'every post is answered')
      const { lost } = run.judge(what, 0, { mayLose: waitReplicas === 0 })
      if (waitReplicas > 0) t.strictSame(alone.filter(({ statusCode }) => statusCode === 200), [], 'what no replica has is not answered 200')
      else t.comment(`${what}: lost ${lost.length} of ${alone.filter(({ statusCode }) => statusCode === 200).length} that no replica had`)
      t.match(await program.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 } })
    })
  }
}
