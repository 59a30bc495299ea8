import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { fewLeads, FaultRun, mixedDeals, PLACES, type StartOptions } from '../helpers/fault-run.ts'
import { handoversOf } from '../helpers/journal.ts'
import { between, randomFrom } from '../helpers/random.ts'
import { freePort } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const ROUNDS = Number(process.env['FAULT_ROUNDS'] ?? 2)
const seed = process.env['FAULT_SEED'] ?? String(Date.now())

t.jobs = 2
t.setTimeout(60_000 + ROUNDS * 30_000)

for (const { name, storage } of PLACES) {
  t.test(`kill -9 of one of two workers under load loses nothing that was answered 200, ${name}`, { buffered: true }, async t => {
    t.comment(`FAULT_SEED=${seed}`)
    const random = randomFrom(`${seed} ${name}`)
    // A living worker that waits for the processor is not to be taken for dead.
    const run = await FaultRun.open(t, storage(), { concurrency: 32, stalledAfterMs: 2_000, backoffMs: 50 })
    const places: StartOptions[] = [{}, { port: await freePort() }]
    const programs = await Promise.all([run.startInstalled(places[0]), run.start(places[1])])
    let cutOff = 0

    const isBusy = ({ pid }: { pid: number }) => run.runs().filter(({ pid: by, endedAt }) => by === pid && endedAt === undefined).length >= 3

    /** Index of one to kill: in the first round of one that is at work, then of any. */
    const pick = async (round: number): Promise<number> => {
      if (round === 1) await until(() => programs.some(isBusy), 'one is at work')
      const found = [0, 1].filter(at => round > 1 || isBusy(programs[at]!))
      return found[between(random, 0, found.length - 1)] ?? 0
    }

    /** Kills one after a while, and at times what follows it too, while that is still at its start; the other lives on. */
    const killAndRestart = async (round: number): Promise<void> => {
      await sleep(between(random, 100, 1_500))
      const at = await pick(round)
      await run.kill(programs[at]!)
      programs[at] = await run.start(places[at])
      if (random() < 0.3) {
        await sleep(between(random, 0, 300))
        await run.kill(programs[at])
        programs[at] = await run.start(places[at])
      }
      await run.untilTaken(programs[at])
    }

    for (let round = 1; round <= ROUNDS; round++) {
      const first = run.posts.length
      const runs = run.runs().length
      const coalesces = round % 2 === 0
      const what = { ...(coalesces ? { event: 'onCrmLeadUpdate' as const, orderOf: fewLeads } : { orderOf: mixedDeals }), concurrency: 4, pauseMs: 20 }
      const loads = programs.map(program => run.load(program, what))
      await until(() => run.posts.slice(first).filter(({ statusCode }) => statusCode === 200).length >= 20, 'they take posts', 30_000)
      await killAndRestart(round)
      await sleep(200)
      await Promise.all(loads.map(load => load.stop()))
      await run.waitForIdle(programs[0])
      const counts = run.judge(`kill -9, ${name}, round ${round}${coalesces ? ', coalescing' : ''}`, first)
      t.ok(counts.answered < counts.sent, 'some posts did not meet the app')
      const ran = run.runs().length - runs
      if (coalesces) t.ok(ran < counts.answered, `${ran} runs for ${counts.answered} posts`)
      cutOff += counts.cutOff
      for (const program of programs) t.match(await program.health(), { queue: { waiting: 0, active: 0, dead: 0 } })
    }
    t.ok(cutOff > 0, `${cutOff} events were being handled when the process was killed`)
    const handovers = handoversOf(run.runs())
    t.comment(`kill -9, ${name}: ${handovers} times an item went from one living worker to another`)
    t.ok(handovers > 0, 'living workers contend for the items')
  })
}
