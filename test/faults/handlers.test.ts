import t from 'tap'
import { now } from '../helpers/journal.ts'
import { FaultRun, PLACES } from '../helpers/fault-run.ts'
import { until } from '../helpers/until.ts'

const OTHERS = 20
const CLOSE_MS = 500
/** Beyond it: what a busy machine takes. */
const SLACK_MS = 2_500
/** Three places may be of one portal, so that one that hangs leaves its portal others. */
const CONCURRENCY = 4

t.jobs = 2
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  t.test(`handlers that do not end, or never succeed, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { attempts: 3, backoffMs: 50, handlerTimeoutMs: 1_500, closeTimeoutMs: CLOSE_MS, concurrency: CONCURRENCY, stalledAfterMs: 1_000 })
    const program = await run.startInstalled()
    const hanging = await run.post(program, { WHAT: 'hang' })
    const throwing = await run.post(program, { WHAT: 'throw' })
    const others = await run.postAll(program, OTHERS)
    t.ok(run.posts.every(({ statusCode }) => statusCode === 200), 'all are stored')

    const runsOf = (n: number) => run.runs().filter(run => run.n === n)
    await until(() => others.every(({ n }) => runsOf(n).length > 0), 'the others are handled')
    t.comment(`handlers that fail, ${name}: ${others.length} others handled while one hung in attempt ${runsOf(hanging.n).length}`)
    await until(async () => (await program.health()).queue?.dead === 2, '2 dead', 30_000)
    t.ok(Math.max(...others.map(({ n }) => runsOf(n)[0]!.endedAt!)) < runsOf(hanging.n).at(-1)!.beganAt, 'others go on meanwhile')

    const { items } = await program.deadLetters()
    const letterOf = (n: number) => items.find(({ id }) => id === runsOf(n)[0]?.event)
    t.match(letterOf(hanging.n), { name: 'onCrmDealUpdate', attempts: 3, error: { code: 'FST_B24_HANDLER_TIMEOUT' } })
    t.match(letterOf(throwing.n), { name: 'onCrmDealUpdate', attempts: 3, error: { message: /told to fail/ } })
    for (const { n } of [hanging, throwing]) t.strictSame(runsOf(n).map(({ attempt }) => attempt), [1, 2, 3])
    await run.waitForIdle(program)
    await run.kill(program)
  })

  t.test(`closing does not wait for a handler that does not end, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { handlerTimeoutMs: 60_000, closeTimeoutMs: CLOSE_MS, stalledAfterMs: 1_000 })
    const program = await run.startInstalled()
    await run.post(program, { WHAT: 'hang' })
    await until(() => run.runs().length === 1, 'it hangs')
    const beganAt = now()
    const timer = setTimeout(() => program.kill(), CLOSE_MS + 10_000)
    program.signal('SIGTERM')
    t.equal(await program.ended, 0, 'the process ends by itself')
    clearTimeout(timer)
    const tookMs = Math.round(now() - beganAt)
    t.comment(`handler that hangs, ${name}: the process ended in ${tookMs} ms with closeTimeoutMs ${CLOSE_MS}`)
    t.ok(tookMs < CLOSE_MS + SLACK_MS, `in ${tookMs} ms`)
    const next = await run.start({ delivery: { worker: false } })
    t.match(await next.health(), { queue: { waiting: 1, active: 0, dead: 0 } }, 'the event waits for the next one')
  })
}
