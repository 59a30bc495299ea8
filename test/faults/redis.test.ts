import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { FaultRun, ownDeal } from '../helpers/fault-run.ts'
import { now } from '../helpers/journal.ts'
import { between, randomFrom } from '../helpers/random.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

type Fault = [name: string, begin: () => Promise<unknown>, end: () => Promise<unknown>]

const LONGEST_ANSWER_MS = 2_000
/** Longer than a worker may be silent, and than two answers take that wait for their deadline. */
const AWAY_MS = 2_000

/** How often it is killed. */
const ROUNDS = Math.min(Number(process.env['FAULT_ROUNDS'] ?? 1), 3)
const seed = process.env['FAULT_SEED'] ?? String(Date.now())
const MEMORY = '/dev/shm'

const SERVERS = [
  { appendfsync: 'always', parent: tmpdir(), fills: true },
  // While a sync takes long, it answers before it has written, and a killed one would lose that: in memory a sync takes no time.
  { appendfsync: 'everysec', parent: existsSync(MEMORY) ? MEMORY : tmpdir(), fills: false }
]

t.jobs = 2
t.setTimeout(120_000 + ROUNDS * 30_000)

for (const { appendfsync, parent, fills } of SERVERS) {
  t.test(`while Redis is away or full the answer is 503, and then nothing is missing, appendfsync ${appendfsync}`, { buffered: true }, async t => {
    t.comment(`FAULT_SEED=${seed}`)
    const random = randomFrom(`${seed} ${appendfsync}`)
    const redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', appendfsync], parent })
    t.teardown(async () => await redis.stop())
    const run = await FaultRun.open(t, { redis: redis.url }, { stalledAfterMs: 1_000, backoffMs: 50 })
    const program = await run.startInstalled()
    const full: Fault = ['Redis full', async () => await configure('1'), async () => await configure('0')]
    const killed: Fault = ['Redis killed', async () => await redis.kill(), async () => await redis.restart()]
    const faults = [...(fills ? [full] : []), ...Array.from({ length: ROUNDS }, () => killed)]
    for (const [fault, begin, end] of faults) {
      const name = `${fault}, ${appendfsync}`
      const first = run.posts.length
      // Some work for longer than Redis is away.
      const load = run.load(program, { orderOf: n => ({ ...ownDeal(n), MS: n % 40 === 0 ? '2500' : String(n % 30) }) })
      await until(() => run.posts.length > first, 'it is under load')
      await sleep(between(random, 200, 1_200))
      await begin()
      const awayAt = now()
      await sleep(AWAY_MS)
      const backAt = now()
      await end()
      await run.untilTaken(program)
      await sleep(300)
      await load.stop()
      await run.waitForIdle(program)

      const posts = run.posts.slice(first)
      const meanwhile = posts.filter(({ beganAt, endedAt }) => beganAt > awayAt + 100 && endedAt < backAt)
      const slowest = Math.max(...posts.map(({ beganAt, endedAt }) => endedAt - beganAt))
      t.comment(`${name}: ${meanwhile.length} posts meanwhile, slowest answer of all after ${Math.round(slowest)} ms`)
      t.ok(meanwhile.length > 0)
      t.strictSame(meanwhile.filter(({ statusCode }) => statusCode !== 503), [], `${name}: meanwhile, the answer is 503`)
      t.strictSame(posts.filter(({ statusCode }) => statusCode !== 200 && statusCode !== 503), [], `${name}: every post is answered`)
      t.ok(slowest < LONGEST_ANSWER_MS, `${name}: soon`)
      run.judge(name, first)
      t.match(await program.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 } })
    }

    async function configure (maxmemory: string): Promise<void> {
      const admin = new Redis(redis.url)
      await admin.config('SET', 'maxmemory', maxmemory)
      admin.disconnect()
    }
  })
}
