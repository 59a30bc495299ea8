import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { outcome, type SimulatedPortal } from '../../src/testing/index.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { compilePrograms } from '../helpers/bundle.ts'
import { openOfflineApp, readLines, type OfflineAppSettings } from '../helpers/offline-app.ts'
import { startProgram, untilPrinted } from '../helpers/program.ts'
import { freePort } from '../helpers/redis-server.ts'
import { TokenWorld, type TokenSettings } from '../helpers/token-world.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(180_000)

const STORAGES: ReadonlyArray<[name: string, storage: (t: Test) => TokenSettings['storage']]> = [
  ['SQLite', t => ({ dataDir: temporaryFolder(t) })],
  ['Redis', () => ({ redis: process.env['REDIS_URL'] as string })]
]
const DEAL = 2
/** Of each portal. */
const ITEMS = Number(process.env['FAULT_MISSED'] ?? 350)
const PROGRAM = join(await compilePrograms(t, ['test/helpers/offline-program.ts']), 'offline-program.mjs')

/** Three portals that installed the app, within Bitrix24's limits of calls, and subscribed to it. */
async function setup (t: Test, storage: TokenSettings['storage'], offline: OfflineAppSettings['offline'] = {}) {
  const world = await TokenWorld.open(t, storage)
  const portals = ['one', 'two', 'three'].map(name => world.b24.portal(`${name}.bitrix24.com`))
  for (const portal of portals) {
    portal.limit({ cap: 50, drainPerSecond: 2 })
    await world.install(portal, { expired: false })
  }
  const settings: OfflineAppSettings = { ...world.settings, journal: join(temporaryFolder(t), 'journal'), port: await freePort(), offline }
  const app = await openOfflineApp(settings)
  const { totals } = await app.syncFleet()
  t.match(totals, { failed: 0, refused: 0, bound: 3 * 4 })
  return { world, portals, settings, app, lines: () => readLines(settings.journal) }
}

async function changeAll (portals: SimulatedPortal[]): Promise<string[]> {
  for (const portal of portals) {
    for (let id = 1; id <= ITEMS; id++) await outcome(portal.change(DEAL, id, {}, { userId: 7 }))
  }
  return portals.flatMap(({ memberId }) => Array.from({ length: ITEMS }, (_, index) => `${memberId} ${index + 1}`))
}

function leftAt (portals: SimulatedPortal[]): number {
  return portals.reduce((sum, { offlineEvents }) => sum + offlineEvents.rows.length, 0)
}

for (const [name, storage] of STORAGES) {
  t.test(`${name}: what changed while the app was down reaches its handlers when it is back`, async t => {
    const { portals, settings, app, lines } = await setup(t, storage(t))
    await app.close()
    const all = await changeAll(portals)
    t.equal(leftAt(portals), all.length)
    const start = performance.now()
    const again = await openOfflineApp(settings)
    t.teardown(() => again.close())
    await until(() => new Set(lines()).size === all.length, 'every change is handled', 60_000)
    t.comment(`${all.length} changes handled ${Math.round(performance.now() - start)} ms after the start`)
    t.strictSame(new Set(lines()), new Set(all))
    t.equal(lines().length, all.length, 'once each')
    await until(() => leftAt(portals) === 0, 'nothing is left')
    t.ok(portals.every(({ calls }) => calls.every(({ status }) => status === 200)), 'no portal was asked too much')
  })

  t.test(`${name}: killed in the middle of a drain, nothing is lost`, async t => {
    const { portals, settings, app, lines } = await setup(t, storage(t), { lockMs: 2_000, debounceMs: 500 })
    await app.close()
    const all = await changeAll(portals)
    for (const portal of portals) portal.limit({})
    let run = 0
    const [first] = portals as [SimulatedPortal]
    // Where in a round it dies: rows are reserved and nobody knows of it; rows are stored and not deleted; deleted without an answer.
    const faults: Array<() => () => void> = [
      () => first.fault('event.offline.get', { answerDelayMs: 60_000, times: 1 }),
      () => first.fault('event.offline.clear', { delayMs: 60_000, times: 1 }),
      () => first.fault('event.offline.clear', { answerDelayMs: 60_000, times: 1 }),
      () => () => {}
    ]
    for (const fault of faults) {
      const lift = fault()
      const before = leftAt(portals)
      const at = first.calls.length
      const child = startProgram(PROGRAM, [JSON.stringify(settings)])
      t.teardown(() => child.kill('SIGKILL'))
      await until(() => first.calls.slice(at).some(({ method }) => method !== 'event.offline.list') && leftAt(portals) < before, 'it drains', 30_000)
      // A little later each time.
      await sleep(8 * run++)
      child.kill('SIGKILL')
      await once(child, 'exit')
      lift()
      t.comment(`killed with ${leftAt(portals)} of ${all.length} left at the portals, ${new Set(lines()).size} handled`)
    }
    t.ok(leftAt(portals) > 0, 'in the middle')
    const last = startProgram(PROGRAM, [JSON.stringify(settings)])
    t.teardown(() => last.kill('SIGKILL'))
    await untilPrinted(last, /ready/, 30_000)
    await until(() => new Set(lines()).size === all.length && leftAt(portals) === 0, 'every change is handled', 90_000)
    t.strictSame(new Set(lines()), new Set(all))
    t.comment(`${lines().length - all.length} of ${all.length} were handled twice`)
  })

  t.test(`${name}: a portal's notification is answered at once, and its events are fetched soon`, async t => {
    const { portals, app, lines } = await setup(t, storage(t), { debounceMs: 1_200 })
    t.teardown(() => app.close())
    const [portal] = portals as [SimulatedPortal]
    const start = performance.now()
    for (let id = 1; id <= 30; id++) {
      await outcome(portal.change(DEAL, id, {}, { userId: 7 }))
      await sleep(10)
    }
    await until(() => new Set(lines()).size === 30, 'all are handled', 5_000)
    t.comment(`30 changes with one notification were handled in ${Math.round(performance.now() - start)} ms`)
    await until(() => leftAt(portals) === 0, 'nothing is left')
  })
}
