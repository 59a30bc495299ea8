import { ADAPTERS, type Adapter } from './app.ts'
import { now } from './common/parent.ts'
import type { Program, Programs } from './programs.ts'
import { report, Stage, until } from './stage.ts'
import { atLeast, atMost, type Row, type Section } from './table.ts'

const WARM_UP_EVENTS = 5_000
const WAITING = 1_000_000
const PORTALS = 1_000
/** Events that are posted, or handled, for one figure. */
const SAMPLE = 50_000
const MOST_MB = 50
const MOST_RESTART_MS = 2_000
const MB = 1024 ** 2
/** Longer than the benchmark. */
const FOREVER_MS = 3_600_000
/** A million events of half a kilobyte, each with its overhead: more than the share of one storage by default. */
const ROOM = { maxWaitingBytes: 8 * 1024 ** 3 }

interface Backlog {
  adapter: Adapter
  grownMb: number
  /** From the start of the process to the first run. */
  restartMs: number
  /** Events a second at the end, against those with an empty queue. */
  accepted: number
  handled: number
}

/** What a long queue costs: memory of a process that receives and works, time until a new one handles the first event, and speed. */
export async function measureBacklog (programs: Programs, redisUrl: string): Promise<Section> {
  const backlogs: Backlog[] = []
  for (const adapter of ADAPTERS) backlogs.push(await backlogOf(programs, adapter, redisUrl))
  const million = `${WAITING.toLocaleString('en')} waiting events`
  return {
    title: `A backlog of ${WAITING.toLocaleString('en')} events of ${PORTALS.toLocaleString('en')} portals, each of another item`,
    rows: backlogs.flatMap(rowsOf),
    notes: [
      'Heap: after a collection of garbage, in a process that receives, and whose handlers never end.',
      'Restart: from the start of the new process, the old one being closed.',
      `Speed: ${SAMPLE.toLocaleString('en')} events posted, or handled by empty handlers, against as many with an empty queue.`
    ],
    targets: backlogs.flatMap(({ adapter, grownMb, restartMs, accepted, handled }) => [
      atMost(`heap of ${million}, ${adapter}`, MOST_MB, grownMb, 'MB'),
      atMost(`restart behind ${million}, ${adapter}`, MOST_RESTART_MS, restartMs, 'ms'),
      atLeast(`accept behind ${million}, ${adapter}`, 0.8, accepted),
      atLeast(`handled behind ${million}, ${adapter}`, 0.8, handled)
    ])
  }
}

async function backlogOf (programs: Programs, adapter: Adapter, redisUrl: string): Promise<Backlog> {
  const handledEmpty = await speedOfEmptyQueue(programs, adapter, redisUrl)
  const stage = await Stage.open(programs, adapter, redisUrl, PORTALS)
  const full = await stage.start({ ...ROOM, handlerTimeoutMs: FOREVER_MS, closeTimeoutMs: 0 }, { handlerMs: FOREVER_MS })
  await stage.post(full, { amount: WARM_UP_EVENTS })
  const before = await report(full, { collect: true })
  const [first, ...others] = Array.from({ length: WAITING / SAMPLE }, () => SAMPLE)
  const emptyMs = await postingMs(stage, full, first as number)
  let lastMs = 0
  for (const amount of others) lastMs = await postingMs(stage, full, amount)
  const after = await report(full, { collect: true })
  await stage.stop(full)
  const start = now()
  const next = await stage.start({ ...ROOM })
  const { runs } = await until(() => report(next), ({ runs }) => runs.count > 0)
  const handled = await handledSpeed(next)
  await stage.close()
  return { adapter, grownMb: (after.heapBytes - before.heapBytes) / MB, restartMs: runs.firstAt - start, accepted: emptyMs / lastMs, handled: handled / handledEmpty }
}

async function speedOfEmptyQueue (programs: Programs, adapter: Adapter, redisUrl: string): Promise<number> {
  const stage = await Stage.open(programs, adapter, redisUrl, PORTALS)
  const receiver = await stage.start({ ...ROOM, worker: false })
  await stage.post(receiver, { amount: SAMPLE + WARM_UP_EVENTS })
  await stage.stop(receiver)
  const speed = await handledSpeed(await stage.start({ ...ROOM }))
  await stage.close()
  return speed
}

async function postingMs (stage: Stage, to: Program, amount: number): Promise<number> {
  const start = now()
  await stage.post(to, { amount })
  return now() - start
}

/** Events a second that a program handles, from its first on. */
async function handledSpeed (program: Program): Promise<number> {
  const { runs } = await until(() => report(program), ({ runs }) => runs.count >= SAMPLE)
  return (runs.count - 1) * 1000 / (runs.lastAt - runs.firstAt)
}

function rowsOf ({ adapter, grownMb, restartMs, accepted, handled }: Backlog): Row[] {
  return [
    { name: `${adapter}, growth of the heap`, figure: `${grownMb.toFixed(1)} MB` },
    { name: `${adapter}, restart until the first is handled`, figure: `${restartMs.toFixed(0)} ms` },
    { name: `${adapter}, accepted at the end, against an empty queue`, figure: `${accepted.toFixed(2)} x` },
    { name: `${adapter}, handled then, against an empty queue`, figure: `${handled.toFixed(2)} x` }
  ]
}
