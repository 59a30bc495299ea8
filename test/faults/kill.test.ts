import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { AppProgram } from '../helpers/app-program.ts'
import { fewLeads, FaultRun, mixedDeals, PLACES } from '../helpers/fault-run.ts'
import { between, randomFrom } from '../helpers/random.ts'
import { until } from '../helpers/until.ts'

const ROUNDS = Number(process.env['FAULT_ROUNDS'] ?? 2)
const seed = process.env['FAULT_SEED'] ?? String(Date.now())

t.jobs = 2
t.setTimeout(60_000 + ROUNDS * 30_000)

for (const { name, storage } of PLACES) {
  t.test(`kill -9 under load loses nothing that was answered 200, ${name}`, { buffered: true }, async t => {
    t.comment(`FAULT_SEED=${seed}`)
    const random = randomFrom(`${seed} ${name}`)
    const run = await FaultRun.open(t, storage(), { concurrency: 32, stalledAfterMs: 1_000, backoffMs: 50 })
    let program = await run.startInstalled()
    let cutOff = 0

    /** Kills it after a while, and at times what follows it too, while that is still at its start. */
    const killAndRestart = async (): Promise<AppProgram> => {
      await sleep(between(random, 100, 1_500))
      await run.kill(program)
      const next = await run.start()
      if (random() < 0.7) return next
      await sleep(between(random, 0, 300))
      await run.kill(next)
      return await run.start()
    }

    const untilTaken = async (first: number) => {
      const isTaken = () => run.posts.slice(first).filter(({ statusCode }) => statusCode === 200).length >= 20
      await until(isTaken, 'it takes posts', 30_000)
    }

    for (let round = 1; round <= ROUNDS; round++) {
      const first = run.posts.length
      const runs = run.runs().length
      const coalesces = round % 2 === 0
      const load = run.load(program, { ...(coalesces ? { event: 'onCrmLeadUpdate', orderOf: fewLeads } : { orderOf: mixedDeals }), pauseMs: 20 })
      await untilTaken(first)
      program = await killAndRestart()
      await untilTaken(run.posts.length)
      await load.stop()
      await run.untilIdle(program)
      const counts = run.judge(`kill -9, ${name}, round ${round}${coalesces ? ', coalescing' : ''}`, first)
      t.ok(counts.answered < counts.sent, 'some posts did not meet the app')
      const ran = run.runs().length - runs
      if (coalesces) t.ok(ran < counts.answered, `${ran} runs for ${counts.answered} posts`)
      cutOff += counts.cutOff
      t.match(await program.health(), { queue: { waiting: 0, active: 0, dead: 0 } })
    }
    t.ok(cutOff > 0, `${cutOff} events were being handled when the process was killed`)
  })
}
