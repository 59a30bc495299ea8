import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { ADAPTERS } from './app.ts'
import type { RunReport } from './common/runs.ts'
import { SERVER_CORE, type Program, type Programs } from './programs.ts'
import { report, Stage, until } from './stage.ts'
import { atLeast, median, type Section } from './table.ts'

const ROUNDS = 5
const EVENTS = 20_000
const CONCURRENCY = 16
const QUEUE = 'bare-worker'

const BARE = 'bare worker of BullMQ'

/** Fills a queue, and lets one worker empty it. */
interface Contender {
  name: string
  round (): Promise<RunReport>
  close (): Promise<void>
}

/** Events that one worker with empty handlers handles in a second, all of them waiting before it starts. */
export async function measureHandled (programs: Programs, redisUrl: string): Promise<Section> {
  const contenders = [bare(programs, redisUrl), ...await Promise.all(ADAPTERS.map(adapter => ours(programs, redisUrl, adapter)))]
  const speeds = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  for (let count = 0; count < ROUNDS; count++) {
    for (const { name, round } of contenders) speeds.get(name)!.push(speedOf(await round()))
  }
  for (const { close } of contenders) await close()
  const ratio = (name: string): number => median(speeds.get(name)!.map((speed, round) => speed / speeds.get(BARE)![round]!))
  return {
    title: `Handling ${EVENTS.toLocaleString('en')} events that wait, one worker, ${CONCURRENCY} at once, empty handlers, ${ROUNDS} rounds in turn, medians`,
    rows: contenders.map(({ name }) => ({ name, figure: `${Math.round(median(speeds.get(name)!)).toLocaleString('en')} events/s`, ratio: ratio(name) })),
    notes: ['Ratio: against the bare worker, which has no turns of portals, no item at a time, and looks up no portal. Each event is of another item.'],
    targets: [
      atLeast('handled on Redis, against a bare worker of BullMQ', 0.8, ratio(nameOf('Redis'))),
      atLeast('handled on SQLite, against a bare worker of BullMQ', 0.55, ratio(nameOf('SQLite')))
    ]
  }
}

function nameOf (adapter: string): string {
  return `fastify-bitrix24, ${adapter}`
}

function speedOf ({ count, firstAt, lastAt }: RunReport): number {
  return (count - 1) * 1000 / (lastAt - firstAt)
}

function bare (programs: Programs, redisUrl: string): Contender {
  const connection = new Redis(redisUrl)
  const queue = new Queue(QUEUE, { connection })
  return {
    name: BARE,
    round: async () => {
      await queue.addBulk(Array.from({ length: EVENTS }, (_, id) => ({ name: 'ONCRMDYNAMICITEMUPDATE', data: jobOf(id), opts: { removeOnComplete: true } })))
      const worker = await programs.start('bare-worker', SERVER_CORE, { redisUrl, queueName: QUEUE, concurrency: CONCURRENCY })
      const runs = await until(async () => await worker.ask({}) as RunReport, ({ count }) => count === EVENTS)
      await worker.stop()
      return runs
    },
    close: async () => {
      await queue.close()
      connection.disconnect()
    }
  }
}

/** What one would queue of an event by hand. */
function jobOf (id: number): object {
  return { event: 'ONCRMDYNAMICITEMUPDATE', data: { FIELDS: { ID: String(id), ENTITY_TYPE_ID: '1220' } }, ts: '1743152062', memberId: `portal${id % 50}`, domain: 'some-domain.bitrix24.com' }
}

async function ours (programs: Programs, redisUrl: string, adapter: typeof ADAPTERS[number]): Promise<Contender> {
  const stage = await Stage.open(programs, adapter, redisUrl)
  const receiver: Program = await stage.start({ worker: false })
  return {
    name: nameOf(adapter),
    round: async () => {
      await stage.post(receiver, { amount: EVENTS })
      const worker = await stage.start({ concurrency: CONCURRENCY })
      const { runs } = await until(() => report(worker), ({ runs }) => runs.count === EVENTS)
      await stage.stop(worker)
      return runs
    },
    close: () => stage.close()
  }
}
