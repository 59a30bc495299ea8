import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FastifyBitrix24Options } from '../../../src/index.ts'
import type { Delivery, Fault, SimulatedPortal } from '../../../src/testing/index.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { compilePrograms } from '../../helpers/bundle.ts'
import type { CallReport } from '../../helpers/call-process.ts'
import { OrderedProcess } from '../../helpers/ordered-process.ts'
import { TokenWorld, type TokenSettings } from '../../helpers/token-world.ts'
import { until } from '../../helpers/until.ts'

t.setTimeout(240_000)
// These tests mostly wait for locks to expire.
t.jobs = 2

const PLACES: Array<[name: string, storage: (t: Test) => TokenSettings['storage']]> = [
  ['Redis', () => ({ redis: process.env['REDIS_URL'] as string })],
  ['SQLite', t => ({ dataDir: temporaryFolder(t) })]
]
const PROGRAM = join(await compilePrograms(t, ['test/helpers/call-process.ts']), 'call-process.mjs')
/** Limits of an Enterprise plan. */
const LIMITS = { cap: 250, drainPerSecond: 5 }
/** The plugin's defaults: lock TTL and the longest wait for a token. */
const [LOCK_MS, WAIT_MS] = [5_000, 10_000]

type Process = OrderedProcess<CallReport>

/** A failure during a refresh, and its expected cost. */
interface Mishap {
  what: string
  /** Delay of the response to the first refresh. */
  fault: Fault
  systemUser?: boolean
  /** Runs before other processes need the token. */
  meanwhile?: (stage: Stage, portal: SimulatedPortal) => Promise<void>
  refreshes: number
  /** Expected record at the end. */
  generation: number
}

const ALL_WELL: CallReport = { succeeded: 50, errors: [] }
const LOST: CallReport = { succeeded: 0, errors: ['FST_B24_REAUTH_REQUIRED'] }

/** Both are longer than the lock. */
const SLOW: Mishap[] = [
  { what: 'all wait for it, and succeed', fault: { answerDelayMs: LOCK_MS + 1_000 }, refreshes: 1, generation: 2 },
  {
    what: 'the app is installed anew meanwhile: the older answer does not overwrite that pair',
    fault: { answerDelayMs: LOCK_MS + 1_000 },
    meanwhile: reinstall,
    // One refresh belongs to the install: its pair is refreshed before it replaces a valid one.
    refreshes: 2,
    generation: 2
  }
]

/** The process stalls before the response arrives. */
const STOPS: Array<Mishap & { bringsItsPair?: boolean }> = [
  {
    what: 'others trade the pair before the server does it for the one that stands still: its refusal costs nothing',
    fault: { delayMs: LOCK_MS + 2_500 },
    refreshes: 2,
    generation: 2
  },
  {
    what: 'the app is installed anew, and others trade that pair: the older answer overwrites nothing',
    fault: { answerDelayMs: 2_000 },
    meanwhile: async (stage, portal) => {
      await reinstall(stage, portal)
      await stage.world.expire(portal)
    },
    refreshes: 3,
    generation: 3
  },
  {
    what: 'the others act as the system user, until the answer brings the installer back',
    fault: { answerDelayMs: 2_000 },
    systemUser: true,
    bringsItsPair: true,
    refreshes: 3,
    generation: 4
  }
]

const COMEBACKS: Array<[what: string, comeBack: (portal: SimulatedPortal, eventsUrl: string) => Promise<Delivery>]> = [
  ['the app is installed again', async (portal, eventsUrl) => await portal.install(eventsUrl)],
  ['there is a system user', async (portal, url) => await portal.userReady({ url })],
  ['an admin opens the app', async (portal, eventsUrl) => await portal.openApp(eventsUrl.replace('/events', '/install'))]
]

const KILLS: Array<Mishap & { comeBack?: (typeof COMEBACKS)[number][1] }> = [
  {
    what: 'after the server has traded the pair: that of the system user stands in',
    fault: { answerDelayMs: 60_000 },
    systemUser: true,
    refreshes: 3,
    generation: 3
  },
  ...COMEBACKS.map(([what, comeBack]) => ({
    what: `after the server has traded the only pair: reported once, and no call succeeds until ${what}`,
    fault: { answerDelayMs: 60_000 },
    comeBack,
    refreshes: 2,
    generation: 2
  })),
  { what: 'before the server has traded the pair: others do', fault: { delayMs: 3_000 }, refreshes: 2, generation: 2 }
]

/** Four processes with the plugin, and portals with expired access tokens. */
class Stage {
  readonly world: TokenWorld
  readonly processes: Process[]
  /** The worker process, which is not disturbed. */
  readonly eventsUrl: string

  private constructor (world: TokenWorld, processes: Process[], eventsUrl: string) {
    this.world = world
    this.processes = processes
    this.eventsUrl = eventsUrl
  }

  static async open (t: Test, storage: TokenSettings['storage']): Promise<Stage> {
    const world = await TokenWorld.open(t, storage)
    const { storage: place, clientId, clientSecret, oauthServer } = world.settings
    const options: FastifyBitrix24Options = {
      ...place,
      clientId,
      clientSecret,
      oauthServers: [oauthServer],
      allowPrivateNetworks: true,
      actAs: 'installer',
      portalLimits: { burst: LIMITS.cap, drainPerSecond: LIMITS.drainPerSecond }
    }
    // A stalled worker would be waited for.
    const processes = [false, false, false, true].map((worker): Process => new OrderedProcess(t, PROGRAM, { ...options, delivery: { worker } }))
    const urls = await Promise.all(processes.map(({ ready }) => ready))
    return new Stage(world, processes, urls.at(-1) as string)
  }

  async portal (options?: { systemUser?: boolean | undefined }): Promise<SimulatedPortal> {
    const portal = this.world.b24.portal(`portal-${this.world.b24.portals().length}.bitrix24.com`)
    portal.limit(LIMITS)
    await this.world.install(portal, { systemUser: options?.systemUser ?? false })
    return portal
  }

  /** One portal per failure, with a process waiting for the response to its refresh. */
  async begin (process: Process, mishaps: Mishap[]): Promise<SimulatedPortal[]> {
    const portals: SimulatedPortal[] = []
    for (const { fault, systemUser } of mishaps) {
      const portal = await this.portal({ systemUser })
      const before = this.world.refreshes
      this.world.b24.fault('token', { ...fault, times: 1 })
      process.order(portal, 50)
      await until(() => this.world.refreshes > before, 'it asks')
      portals.push(portal)
    }
    return portals
  }

  reported ({ memberId }: SimulatedPortal): unknown[] {
    return this.processes.flatMap(({ reported }) => reported as unknown[][]).filter(([, about]) => about === memberId)
  }
}

async function reinstall ({ world, eventsUrl }: Stage, portal: SimulatedPortal): Promise<void> {
  const { generation } = await world.record(portal)
  const { statusCode } = await portal.install(eventsUrl, { lateSeconds: 0 })
  assert.equal(statusCode, 200)
  await until(async () => (await world.record(portal)).generation !== generation, 'its pair is kept')
}

async function meet (stage: Stage, mishaps: Mishap[], portals: SimulatedPortal[]): Promise<void> {
  for (const [at, { meanwhile }] of mishaps.entries()) await meanwhile?.(stage, portals[at]!)
}

function totalOf (mishaps: Mishap[]): number {
  return mishaps.reduce((total, { refreshes }) => total + refreshes, 0)
}

async function reportsOf (processes: Process[], portals: SimulatedPortal[]): Promise<CallReport[][]> {
  return await Promise.all(portals.map(async portal => await Promise.all(processes.map(process => process.report(portal)))))
}

/** Asserts that calls succeed without another refresh. */
async function succeeds (t: Test, { world }: Stage, processes: Process[], portal: SimulatedPortal): Promise<void> {
  const before = world.refreshes
  const reports = await Promise.all(processes.map(process => process.ask(portal, 5)))
  t.strictSame(reports, processes.map(() => ({ succeeded: 5, errors: [] })), 'so do the next calls')
  t.equal(world.refreshes, before, 'without another refresh')
  t.equal((await world.record(portal)).state, 'active')
  t.ok(portal.calls.every(({ status }) => status === 200), 'no token was shown that is no good')
}

for (const [name, storage] of PLACES) {
  t.test(`${name}: 4 processes make 50 calls each with an expired token`, { buffered: true }, async t => {
    const stage = await Stage.open(t, storage(t))
    const { world, processes } = stage
    const [first, ...others] = processes as [Process, ...Process[]]

    await t.test('one refresh, and all succeed', async t => {
      const portal = await stage.portal()
      const reports = await Promise.all(processes.map(process => process.ask(portal, 50)))
      t.strictSame(reports, processes.map(() => ALL_WELL))
      t.equal(world.refreshes, 1)
      t.equal(portal.calls.filter(({ method, status }) => method === 'profile' && status === 200).length, 200)
      t.ok(portal.calls.every(({ status }) => status === 200), 'none was refused before')
    })

    await t.test('a refresh takes longer than its lock', async t => {
      const before = world.refreshes
      const portals = await stage.begin(first, SLOW)
      await meet(stage, SLOW, portals)
      for (const portal of portals) for (const process of others) process.order(portal, 50)
      const reports = await reportsOf(processes, portals)
      t.equal(world.refreshes - before, totalOf(SLOW))
      for (const [at, { what, generation }] of SLOW.entries()) {
        const portal = portals[at] as SimulatedPortal
        await t.test(what, async t => {
          t.strictSame(reports[at], processes.map(() => ALL_WELL))
          t.equal((await world.record(portal)).generation, generation)
          await succeeds(t, stage, processes, portal)
        })
      }
    })

    await t.test('the refreshing process stalls for longer than its lock', async t => {
      const before = world.refreshes
      const begun = performance.now()
      const portals = await stage.begin(first, STOPS)
      await first.signal('SIGSTOP')
      await meet(stage, STOPS, portals)
      for (const portal of portals) for (const process of others) process.order(portal, 50)
      const reports = await reportsOf(others, portals)
      const kept = await Promise.all(portals.map(portal => world.record(portal)))
      await first.signal('SIGCONT')
      const late = await reportsOf([first], portals)
      const isInTime = performance.now() - begun < WAIT_MS
      t.equal(world.refreshes - before, totalOf(STOPS))
      for (const [at, { what, generation, bringsItsPair = false }] of STOPS.entries()) {
        const portal = portals[at] as SimulatedPortal
        await t.test(what, async t => {
          t.strictSame(reports[at], others.map(() => ALL_WELL))
          // On a busy machine, calls of the stalled process may have timed out.
          if (isInTime || late[at]?.[0]?.succeeded === 50) t.strictSame(late[at], [ALL_WELL])
          else t.strictSame(late[at], [{ succeeded: 0, errors: ['FST_B24_OAUTH_UNAVAILABLE'] }])
          const record = await world.record(portal)
          t.equal(record.generation, generation)
          if (bringsItsPair) t.strictSame(record.systemUser, kept[at]?.systemUser)
          else t.strictSame(record, kept[at], 'it has written nothing')
          await succeeds(t, stage, processes, portal)
          t.strictSame(stage.reported(portal), [])
        })
      }
    })

    await t.test('the refreshing process is killed', async t => {
      const before = world.refreshes
      const portals = await stage.begin(first, KILLS)
      for (const portal of portals) for (const process of others) process.order(portal, 50)
      await sleep(200)
      await first.signal('SIGKILL')
      const reports = await reportsOf(others, portals)
      t.equal(world.refreshes - before, totalOf(KILLS))
      for (const [at, { what, generation, comeBack }] of KILLS.entries()) {
        const portal = portals[at] as SimulatedPortal
        await t.test(what, async t => {
          t.strictSame(reports[at], others.map(() => comeBack === undefined ? ALL_WELL : LOST))
          if (comeBack !== undefined) {
            t.equal((await world.record(portal)).state, 'reauth_required')
            t.match(await Promise.all(others.map(process => process.ask(portal, 5))), others.map(() => LOST), 'and so it stays')
            t.equal((await comeBack(portal, stage.eventsUrl)).statusCode, 200)
            await until(async () => (await world.record(portal)).state === 'active', 'it is back')
          }
          t.equal((await world.record(portal)).generation, generation)
          await succeeds(t, stage, others, portal)
          t.strictSame(stage.reported(portal), comeBack === undefined ? [] : [['reauthRequired', portal.memberId]])
        })
      }
    })
  })
}
