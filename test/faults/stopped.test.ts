import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FaultRun, mixedDeals } from '../helpers/fault-run.ts'
import { freePort } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

/** Stops at random moments until so many of them were in the middle of a write. */
const STOPS_IN_WRITE = 2
const MOST_STOPS = 60
const LONGEST_ANSWER_MS = 3_000

t.setTimeout(120_000)

t.test('while a process stands still in the middle of a write to SQLite, others answer 503 soon; then all is well', async t => {
  // Nobody takes over: a process that goes on would run beside that.
  const run = await FaultRun.open(t, 'SQLite', { stalledAfterMs: 30_000, backoffMs: 50 })
  const stopped = await run.startInstalled({ port: await freePort() })
  const other = await run.start()
  let inWrite = 0
  for (let stops = 0; stops < MOST_STOPS && inWrite < STOPS_IN_WRITE; stops++) {
    const load = run.load(stopped, { orderOf: mixedDeals, concurrency: 4 })
    await sleep(100 + Math.random() * 50)
    stopped.signal('SIGSTOP')
    const posts = await run.postAll(other, 4)
    t.ok(posts.every(({ statusCode }) => [200, 503].includes(statusCode)))
    if (posts.some(({ statusCode }) => statusCode === 503)) {
      inWrite++
      const slowest = Math.max(...posts.map(({ beganAt, endedAt }) => endedAt - beganAt))
      t.ok(slowest < LONGEST_ANSWER_MS, `503 after ${Math.round(slowest)} ms`)
      t.comment(`stop ${stops + 1} was in a write: 503 after ${Math.round(slowest)} ms`)
    }
    stopped.signal('SIGCONT')
    await load.stop()
    await run.untilTaken(other)
  }
  t.equal(inWrite, STOPS_IN_WRITE)
  await run.waitForIdle(other)
  run.judge('stopped in a write')
  for (const program of [stopped, other]) t.match(await program.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 } })
  await until(async () => (await run.post(stopped)).statusCode === 200, 'the one that stood still takes events')
})
