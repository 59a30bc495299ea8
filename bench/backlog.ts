import { ADAPTERS, type Adapter } from './app.ts'
import { now } from './common/parent.ts'
import type { Programs } from './programs.ts'
import { report, Stage, until } from './stage.ts'
import { atMost, type Row, type Section } from './table.ts'

const WARM_UP_EVENTS = 5_000
const WAITING = 100_000
const MOST_MB = 50
const MB = 1024 ** 2
/** Longer than the benchmark. */
const FOREVER_MS = 3_600_000

interface Backlog {
  adapter: Adapter
  grownMb: number
  /** From the start of the process to the first run. */
  restartMs: number
}

/** What a long queue costs: memory of a process that receives and works, and time until a new one handles the first event. */
export async function measureBacklog (programs: Programs, redisUrl: string): Promise<Section> {
  const backlogs: Backlog[] = []
  for (const adapter of ADAPTERS) backlogs.push(await backlogOf(programs, adapter, redisUrl))
  return {
    title: `A backlog of ${WAITING.toLocaleString('en')} events of 50 portals, each of another item`,
    rows: backlogs.flatMap(rowsOf),
    notes: [
      'Heap: after a collection of garbage, in a process that receives, and whose handlers never end.',
      'Restart: from the start of the new process, the old one being closed.'
    ],
    targets: backlogs.map(({ adapter, grownMb }) => atMost(`heap of ${WAITING.toLocaleString('en')} waiting events, ${adapter}`, MOST_MB, grownMb, 'MB'))
  }
}

async function backlogOf (programs: Programs, adapter: Adapter, redisUrl: string): Promise<Backlog> {
  const stage = await Stage.open(programs, adapter, redisUrl)
  const full = await stage.start({ handlerTimeoutMs: FOREVER_MS, closeTimeoutMs: 0 }, { handlerMs: FOREVER_MS })
  await stage.post(full, { amount: WARM_UP_EVENTS })
  const before = await report(full, { collect: true })
  await stage.post(full, { amount: WAITING })
  const after = await report(full, { collect: true })
  await stage.stop(full)
  const start = now()
  const next = await stage.start({})
  const { runs } = await until(() => report(next), ({ runs }) => runs.count > 0)
  await stage.close()
  return { adapter, grownMb: (after.heapBytes - before.heapBytes) / MB, restartMs: runs.firstAt - start }
}

function rowsOf ({ adapter, grownMb, restartMs }: Backlog): Row[] {
  return [
    { name: `${adapter}, growth of the heap`, figure: `${grownMb.toFixed(1)} MB` },
    { name: `${adapter}, restart until the first is handled`, figure: `${restartMs.toFixed(0)} ms` }
  ]
}
