import t from 'tap'
import { FaultRun, PLACES } from '../helpers/fault-run.ts'
import { now } from '../helpers/journal.ts'
import { postMany } from '../helpers/load.ts'

const EVENTS = Number(process.env['FAULT_BACKLOG'] ?? 2_000)

t.jobs = 2
t.setTimeout(60_000 + EVENTS * 20)

for (const { name, storage } of PLACES) {
  t.test(`${EVENTS} events wait for a restart, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { stalledAfterMs: 1_000 })
    const installing = await run.startInstalled()
    await run.kill(installing)
    const receiver = await run.start({ delivery: { worker: false } })
    const postedAt = now()
    run.posts.push(...await postMany(run.portals[0]!, receiver.eventsUrl, 1, EVENTS))
    const postedMs = now() - postedAt
    t.equal(run.posts.filter(({ statusCode }) => statusCode === 200).length, EVENTS, 'all are stored')
    t.match(await receiver.health(), { queue: { waiting: EVENTS, active: 0 } })
    await run.kill(receiver)

    const worker = await run.start()
    await run.waitForIdle(worker, 30_000 + EVENTS * 10)
    const runs = run.runs()
    const firstMs = Math.min(...runs.map(({ endedAt }) => endedAt as number)) - worker.startedAt
    const lastMs = Math.max(...runs.map(({ endedAt }) => endedAt as number)) - worker.startedAt
    t.comment(`${EVENTS} waiting, ${name}: stored in ${seconds(postedMs)}, first handled ${seconds(firstMs)} after the start, last ${seconds(lastMs)}`)
    run.judge(`${EVENTS} waiting, ${name}`)
    t.ok(firstMs < 10_000, 'it begins soon')
  })
}

function seconds (ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
