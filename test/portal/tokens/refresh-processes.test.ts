import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { TokenTimes } from '../../../src/portal/tokens/tokens.ts'
import type { SimulatedPortal } from '../../../src/testing/index.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { compilePrograms } from '../../helpers/bundle.ts'
import { OrderedProcess } from '../../helpers/ordered-process.ts'
import type { TokenReport } from '../../helpers/token-process.ts'
import { TokenWorld, type TokenSettings } from '../../helpers/token-world.ts'
import { until } from '../../helpers/until.ts'

const PLACES: Array<[name: string, storage: (t: Test) => TokenSettings['storage']]> = [
  ['Redis', () => ({ redis: process.env['REDIS_URL'] as string })],
  ['SQLite', t => ({ dataDir: temporaryFolder(t) })]
]
/** Shorter than the defaults, to keep the tests fast. */
const TIMES: Partial<TokenTimes> = { lockMs: 1_500, graceMs: 500 }

t.setTimeout(240_000)
// These tests mostly wait for locks to expire, so several run concurrently.
t.jobs = 4
const PROGRAM = join(await compilePrograms(t, ['test/helpers/token-process.ts']), 'token-process.mjs')

type Process = OrderedProcess<TokenReport>

interface Stage {
  world: TokenWorld
  acme: SimulatedPortal
  processes: Process[]
}

async function open (t: Test, storage: (t: Test) => TokenSettings['storage'], count: number): Promise<Stage> {
  const world = await TokenWorld.open(t, storage(t))
  const settings: TokenSettings = { ...world.settings, times: TIMES }
  const processes = Array.from({ length: count }, (): Process => new OrderedProcess(t, PROGRAM, settings))
  await Promise.all(processes.map(({ ready }) => ready))
  return { world, acme: world.b24.portal('acme.bitrix24.com'), processes }
}

function allTold (processes: Process[]): unknown[] {
  return processes.flatMap(({ reported }) => reported)
}

for (const [name, storage] of PLACES) {
  t.test(`${name}: 4 processes need 50 tokens each: one refresh`, { buffered: true }, async t => {
    const { world, acme, processes } = await open(t, storage, 4)
    await world.install(acme)
    for (let generation = 2; generation < 6; generation++) {
      const reports = await Promise.all(processes.map(process => process.ask(acme, 50)))
      t.strictSame(reports, processes.map(() => ({ generations: [generation], owners: ['installer'], errors: [], succeeded: 50 })))
      t.equal(world.refreshes, generation - 1)
      await world.expire(acme)
    }
  })

  t.test(`${name}: a stalled process restores a pair given up meanwhile`, { buffered: true }, async t => {
    const { world, acme, processes: [slow, quick] } = await open(t, storage, 2) as Stage & { processes: [Process, Process] }
    await world.install(acme)
    world.b24.fault('token', { answerDelayMs: 1_000, times: 1 })
    slow.order(acme, 50)
    await until(() => world.refreshes === 1, 'it asks')
    // A process stalled in the middle of a write blocks SQLite for all others.
    await sleep(200)
    await slow.signal('SIGSTOP')
    t.match(await quick.ask(acme, 50), { errors: ['FST_B24_REAUTH_REQUIRED'] })
    await slow.signal('SIGCONT')
    t.match(await slow.report(acme), { generations: [2], errors: [], succeeded: 50 })
    t.match(await quick.ask(acme, 50), { generations: [2], succeeded: 50 })
    t.match(await world.record(acme), { state: 'active', generation: 2 })
  })

  t.test(`${name}: one notification of a rename`, { buffered: true }, async t => {
    const { world, acme, processes } = await open(t, storage, 4)
    await world.install(acme)
    acme.rename('neu.bitrix24.de')
    const reports = await Promise.all(processes.map(process => process.ask(acme, 50)))
    t.strictSame(reports, processes.map(() => ({ generations: [2], owners: ['installer'], errors: [], succeeded: 50 })))
    t.equal(world.refreshes, 1)
    t.strictSame(allTold(processes), [['renamed', acme.memberId, 'acme.bitrix24.com', 'neu.bitrix24.de']])
    t.equal((await world.record(acme)).domain, 'neu.bitrix24.de')
  })
}
