import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FaultRun, ownDeal, PLACES } from '../helpers/fault-run.ts'

const HANDLER_TIMEOUT_MS = 3_000
const WITHIN: Array<[hanging: number, ms: number]> = [[3, 1_000], [20, 2_000]]
/** Events of the other portal, and the pause after each. */
const EVENTS = 40
const PAUSE_MS = 80

t.jobs = 4
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  for (const [hanging, ms] of WITHIN) {
    t.test(`while handlers of ${hanging} portals hang, those of one that responds begin soon, ${name}`, { buffered: true }, async t => {
      const run = await FaultRun.open(t, storage(), { handlerTimeoutMs: HANDLER_TIMEOUT_MS, closeTimeoutMs: 0, backoffMs: 50 }, hanging + 1)
      const [other, ...portals] = run.portals
      const program = await run.startInstalled()
      // A portal whose handlers end well is known to respond; of one without events for half a minute nobody knows.
      await run.load(program, { portals: [other!], concurrency: 1, orderOf: ownDeal }).stop()
      await run.waitForIdle(program)
      // What hangs stays beyond the test.
      const load = run.load(program, { portals, orderOf: n => ({ ...ownDeal(n), MS: '60000' }), concurrency: 8 })
      await sleep(1_000)
      await load.stop()
      const first = run.posts.length
      while (run.posts.length < first + EVENTS) {
        await run.load(program, { portals: [other!], concurrency: 1, orderOf: ownDeal }).stop()
        await sleep(PAUSE_MS)
      }
      const posts = run.posts.slice(first)
      await sleep(ms)
      const begins = new Map(run.runs().map(({ n, beganAt }) => [n, beganAt]))
      const waits = posts.map(({ n, beganAt }) => (begins.get(n) ?? Infinity) - beganAt).toSorted((a, b) => a - b)
      const p90 = waits[Math.floor(waits.length * 0.9)]!
      t.comment(`${hanging} portals hang with ${first} events, ${name}: ${posts.length} events of another one began after ${[waits[waits.length >> 1]!, p90, waits.at(-1)!].map(Math.round).join(', ')} ms (p50, p90, most)`)
      t.ok(run.posts.every(({ statusCode }) => statusCode === 200), 'every post is answered 200')
      t.ok(p90 < ms, `p90 ${Math.round(p90)} ms`)
      run.judge(`${hanging} portals hang, ${name}, the other`, first)
    })
  }
}
