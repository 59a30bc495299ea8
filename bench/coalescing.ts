import { ADAPTERS, type Adapter } from './app.ts'
import type { Programs } from './programs.ts'
import type { OursReport } from './programs/ours.ts'
import { report, Stage, until } from './stage.ts'
import type { Section, Target } from './table.ts'

const UPDATES = 1_000
const HANDLER_MS = 50
const MOST_RUNS = 25

/** Runs that a burst of updates of one item makes. */
export async function measureCoalescing (programs: Programs, redisUrl: string): Promise<Section> {
  const bursts: Array<[Adapter, OursReport]> = []
  for (const adapter of ADAPTERS) bursts.push([adapter, await burst(programs, adapter, redisUrl)])
  return {
    title: `Coalescing: ${UPDATES.toLocaleString('en')} updates of one item in a burst, the handler takes ${HANDLER_MS} ms`,
    rows: bursts.map(([adapter, { runs, lastPostAt }]) => ({
      name: adapter,
      figure: `${runs.count} runs`,
      more: `the last one begun ${(runs.lastAt - lastPostAt).toFixed(0)} ms after the last update came`
    })),
    targets: bursts.flatMap(([adapter, burst]) => targetsOf(adapter, burst))
  }
}

async function burst (programs: Programs, adapter: Adapter, redisUrl: string): Promise<OursReport> {
  const stage = await Stage.open(programs, adapter, redisUrl)
  const app = await stage.start({}, { handlerMs: HANDLER_MS, watch: true })
  await stage.post(app, { amount: UPDATES, senders: [stage.senders[0]!], sameItem: true })
  const result = await until(() => report(app), ({ runs }) => runs.deliveries >= UPDATES)
  await stage.close()
  return result
}

function targetsOf (adapter: Adapter, { runs, lastPostAt }: OursReport): Target[] {
  const isLate = runs.lastAt > lastPostAt
  return [
    { name: `runs of ${UPDATES.toLocaleString('en')} updates of one item, ${adapter}`, wanted: `at most ${MOST_RUNS}`, got: String(runs.count), met: runs.count <= MOST_RUNS },
    { name: `the last run begins after the last update, ${adapter}`, wanted: 'yes', got: isLate ? 'yes' : 'no', met: isLate }
  ]
}
