import { ADAPTERS, type Adapter } from './app.ts'
import { now } from './common/parent.ts'
import type { Programs } from './programs.ts'
import { report, Stage, until } from './stage.ts'
import { atMost, type Section } from './table.ts'

const EVENTS = 10_000
const HANDLER_MS = 5
const CONCURRENCY = 16
const MOST_MS = 1_000

interface Delay {
  adapter: Adapter
  ms: number
  /** Events of the busy portal that were left then. */
  left: number
}

/** How long an event of a portal waits while ten thousand of another portal do. */
export async function measureFairness (programs: Programs, redisUrl: string): Promise<Section> {
  const delays: Delay[] = []
  for (const adapter of ADAPTERS) delays.push(await delayOf(programs, adapter, redisUrl))
  return {
    title: `Turns of portals: one event, posted when ${EVENTS.toLocaleString('en')} of another portal wait, handlers take ${HANDLER_MS} ms, ${CONCURRENCY} at once`,
    rows: delays.map(({ adapter, ms, left }) => ({ name: adapter, figure: `${ms.toFixed(0)} ms`, more: `until it is handled; ${left.toLocaleString('en')} of the other portal wait then` })),
    notes: ['One process receives, another has begun to handle what the other portal sent.'],
    targets: delays.map(({ adapter, ms }) => atMost(`an event behind ${EVENTS.toLocaleString('en')} of another portal, ${adapter}`, MOST_MS, ms, 'ms'))
  }
}

async function delayOf (programs: Programs, adapter: Adapter, redisUrl: string): Promise<Delay> {
  const stage = await Stage.open(programs, adapter, redisUrl)
  const [busy, quiet] = [stage.senders[0]!, stage.senders[1]!]
  const receiver = await stage.start({ worker: false })
  await stage.post(receiver, { amount: EVENTS, senders: [busy] })
  const worker = await stage.start({ concurrency: CONCURRENCY }, { handlerMs: HANDLER_MS })
  await until(() => report(worker), ({ runs }) => runs.count > CONCURRENCY)
  const start = now()
  await stage.post(receiver, { amount: 1, senders: [quiet], connections: 1 })
  const { runs } = await until(() => report(worker), ({ runs }) => quiet.memberId in runs.firstOf)
  await stage.close()
  return { adapter, ms: runs.firstOf[quiet.memberId]! - start, left: EVENTS + 1 - runs.count }
}
