import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { FaultRun, mixedDeals, PLACES } from '../helpers/fault-run.ts'

t.jobs = 2
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  t.test(`the clock is set back by an hour, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { backoffMs: 2_000, stalledAfterMs: 1_000 })
    const program = await run.startInstalled({ nodeArguments: ['--import', join(run.programs, 'clock-back.mjs')] })
    const load = run.load(program, { orderOf: n => ({ ...mixedDeals(n), ...(n % 10 === 1 && { WHAT: 'throw once' as const }) }), pauseMs: 10 })
    await sleep(1_000)
    // Now some wait for their second attempt.
    const before = await program.health()
    program.signal('SIGUSR2')
    await sleep(1_000)
    await load.stop()
    t.ok(before.queue!.waiting > 0)
    t.strictSame(run.posts.filter(({ statusCode }) => statusCode !== 200), [], 'every post is answered 200')
    await run.waitForIdle(program, 30_000)

    const runs = run.runs()
    const failed = runs.filter(({ how }) => how === 'failed')
    const waits = failed.map(({ n, endedAt }) => runs.find(run => run.n === n && run.attempt === 2)!.beganAt - endedAt!)
    t.comment(`clock set back, ${name}: ${failed.length} were tried again, after ${Math.round(Math.min(...waits))} to ${Math.round(Math.max(...waits))} ms`)
    t.ok(failed.length > 0)
    t.ok(Math.max(...waits) < 10_000, 'soon')
    run.judge(`clock set back, ${name}`)
  })
}
