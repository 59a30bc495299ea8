import t from 'tap'
import { FaultRun, PLACES } from '../helpers/fault-run.ts'
import { freePort } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const EVENTS = 16

t.jobs = 2
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  t.test(`what a killed worker had begun is handled by another one, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { concurrency: 4, stalledAfterMs: 2_000 })
    const receiver = await run.startInstalled({ delivery: { worker: false } })
    const workers = await Promise.all([run.start({ port: await freePort() }), run.start({ port: await freePort() })])
    await run.waitForIdle(receiver)

    const posts = await run.postAll(receiver, EVENTS, { MS: '800' })
    t.ok(posts.every(({ statusCode }) => statusCode === 200), 'all are stored')
    const tornOf = (pid: number) => run.runs().filter(run => run.pid === pid && run.endedAt === undefined)
    // Begun after the first had ended: there is time left to die in.
    const isYoung = ({ beganAt }: { beganAt: number }) => run.runs().some(({ endedAt = Infinity }) => endedAt < beganAt)
    const isAtWork = ({ pid }: { pid: number }) => tornOf(pid).some(isYoung)
    await until(() => workers.some(isAtWork), 'some are handled, some are begun')
    const killed = workers.find(isAtWork)!
    await run.kill(killed)
    const torn = tornOf(killed.pid)
    await run.waitForIdle(receiver)

    const runs = run.runs()
    const [other] = workers.filter(worker => worker !== killed)
    const countOf = ({ pid }: { pid: number }) => runs.filter(({ pid: by, how }) => by === pid && how === 'end').length
    t.comment(`a worker of two killed, ${name}: ${torn.length} begun at its death, it handled ${countOf(killed)}, the other ${countOf(other!)}`)
    t.ok(torn.length > 0)
    const again = torn.map(({ n }) => runs.find(run => run.n === n && run.how === 'end'))
    t.match(again, torn.map(({ event }) => ({ pid: other!.pid, event, attempt: 2 })), 'these are handled by the other, as a second attempt')
    t.equal(countOf(receiver), 0, 'the receiver handles nothing')
    run.judge(`a worker of two killed, ${name}`)
    t.match(await receiver.health(), { queue: { waiting: 0, active: 0, dead: 0 } })
  })
}
