import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { TokenTimes } from '../../src/portal/tokens.ts'
import type { SimulatedPortal } from '../../src/testing/index.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { startProgram } from '../helpers/program.ts'
import type { TokenReport } from '../helpers/token-process.ts'
import { TokenWorld, type TokenSettings } from '../helpers/token-world.ts'
import { until } from '../helpers/until.ts'

const PLACES: Array<[name: string, storage: (t: Test) => TokenSettings['storage']]> = [
  ['Redis', () => ({ redis: process.env['REDIS_URL'] as string })],
  ['embedded', t => ({ dataDir: temporaryFolder(t) })]
]
/** Sooner than by default, so that the tests do not wait for long. */
const TIMES: Partial<TokenTimes> = { lockMs: 1_500, graceMs: 500 }

t.setTimeout(240_000)

/** A process that needs tokens. */
class TokenProcess {
  readonly #child
  readonly #reports: TokenReport[] = []
  readonly told: unknown[] = []
  readonly ready: Promise<void>
  readonly ended: Promise<unknown>

  constructor (t: Test, world: TokenWorld) {
    const settings: TokenSettings = { ...world.settings, times: TIMES }
    this.#child = startProgram('test/helpers/token-process.ts', [], { env: { TOKEN_APP: JSON.stringify(settings) } })
    this.ended = once(this.#child, 'close')
    let complaints = ''
    this.#child.stderr.on('data', chunk => { complaints += chunk })
    const lines = createInterface(this.#child.stdout)
    this.ready = once(lines, 'line').then(() => {})
    lines.on('line', line => {
      const { report, told } = JSON.parse(line)
      if (report !== undefined) this.#reports.push(report)
      if (told !== undefined) this.told.push(told)
    })
    t.teardown(async () => {
      await this.signal('SIGKILL')
      if (!t.passing()) t.comment(complaints)
    })
  }

  order ({ memberId }: SimulatedPortal, count: number): void {
    this.#child.stdin.write(`${JSON.stringify({ memberId, count })}\n`)
  }

  async report (): Promise<TokenReport> {
    await until(() => this.#reports.length > 0, 'it reports', 30_000)
    return this.#reports.shift() as TokenReport
  }

  async ask (portal: SimulatedPortal, count: number): Promise<TokenReport> {
    this.order(portal, count)
    return await this.report()
  }

  async signal (name: NodeJS.Signals): Promise<void> {
    this.#child.kill(name)
    if (name === 'SIGKILL') await this.ended
  }
}

interface Stage {
  world: TokenWorld
  acme: SimulatedPortal
  processes: TokenProcess[]
}

async function open (t: Test, storage: (t: Test) => TokenSettings['storage'], count: number): Promise<Stage> {
  const world = await TokenWorld.open(t, storage(t))
  const processes = Array.from({ length: count }, () => new TokenProcess(t, world))
  await Promise.all(processes.map(({ ready }) => ready))
  return { world, acme: world.b24.portal('acme.bitrix24.com'), processes }
}

function allTold (processes: TokenProcess[]): unknown[] {
  return processes.flatMap(({ told }) => told)
}

for (const [name, storage] of PLACES) {
  t.test(`${name}: 4 processes need 50 tokens each at once: one refresh, and all have it`, async t => {
    const { world, acme, processes } = await open(t, storage, 4)
    await world.install(acme)
    for (let generation = 2; generation < 6; generation++) {
      const reports = await Promise.all(processes.map(process => process.ask(acme, 50)))
      t.strictSame(reports, processes.map(() => ({ generations: [generation], owners: ['installer'], errors: [], succeeded: 50 })))
      t.equal(world.refreshes, generation - 1)
      await world.expire(acme)
    }
  })

  t.test(`${name}: killed before the server has worked: another takes over`, async t => {
    const { world, acme, processes } = await open(t, storage, 4)
    await world.install(acme)
    world.b24.fault('token', { delayMs: 1_000, times: 1 })
    const [victim, ...others] = processes as [TokenProcess, ...TokenProcess[]]
    victim.order(acme, 50)
    await until(() => world.refreshes === 1, 'it asks')
    for (const process of others) process.order(acme, 50)
    await sleep(200)
    await victim.signal('SIGKILL')
    const reports = await Promise.all(others.map(process => process.report()))
    t.strictSame(reports, others.map(() => ({ generations: [2], owners: ['installer'], errors: [], succeeded: 50 })))
    t.equal(world.refreshes, 2)
    t.strictSame(allTold(processes), [])
  })

  for (const systemUser of [true, false]) {
    t.test(`${name}: killed after the server has worked, ${systemUser ? 'with' : 'without'} a system user`, async t => {
      const { world, acme, processes } = await open(t, storage, 4)
      await world.install(acme, { systemUser })
      world.b24.fault('token', { answerDelayMs: 60_000, times: 1 })
      const [victim, ...others] = processes as [TokenProcess, ...TokenProcess[]]
      victim.order(acme, 50)
      await until(() => world.refreshes === 1, 'it asks')
      for (const process of others) process.order(acme, 50)
      await sleep(200)
      await victim.signal('SIGKILL')
      const expected = systemUser
        ? { generations: [3], owners: ['systemUser'], errors: [], succeeded: 50 }
        : { generations: [], owners: [], errors: ['FST_B24_REAUTH_REQUIRED'], succeeded: 0 }
      t.strictSame(await Promise.all(others.map(process => process.report())), others.map(() => expected))
      t.equal(world.refreshes, systemUser ? 3 : 2)
      t.strictSame(await Promise.all(others.map(process => process.ask(acme, 50))), others.map(() => expected), 'and so it stays')
      t.equal(world.refreshes, systemUser ? 3 : 2, 'without another question')
      t.equal((await world.record(acme)).state, systemUser ? 'active' : 'reauth_required')
      t.strictSame(allTold(processes), systemUser ? [] : [['reauthRequired', acme.memberId]])
    })
  }

  t.test(`${name}: a process that stood still for longer than its lock overwrites nothing newer`, async t => {
    const { world, acme, processes: [slow, quick] } = await open(t, storage, 2) as Stage & { processes: [TokenProcess, TokenProcess] }
    await world.install(acme)
    world.b24.fault('token', { answerDelayMs: 200, times: 1 })
    slow.order(acme, 50)
    await until(() => world.refreshes === 1, 'it asks')
    await slow.signal('SIGSTOP')
    const given = await quick.ask(acme, 50)
    t.strictSame(given, { generations: [], owners: [], errors: ['FST_B24_REAUTH_REQUIRED'], succeeded: 0 }, 'its answer is with the other')
    await world.install(acme, { expired: false })
    t.match(await quick.ask(acme, 50), { generations: [2], succeeded: 50 })
    const newer = await world.keptToken(acme)
    await slow.signal('SIGCONT')
    t.match(await slow.report(), { generations: [2], errors: [], succeeded: 50 })
    t.equal(await world.keptToken(acme), newer)
    t.equal((await world.record(acme)).generation, 2)
  })

  t.test(`${name}: a process that stood still brings back the chain that was given up`, async t => {
    const { world, acme, processes: [slow, quick] } = await open(t, storage, 2) as Stage & { processes: [TokenProcess, TokenProcess] }
    await world.install(acme)
    world.b24.fault('token', { answerDelayMs: 200, times: 1 })
    slow.order(acme, 50)
    await until(() => world.refreshes === 1, 'it asks')
    await slow.signal('SIGSTOP')
    t.match(await quick.ask(acme, 50), { errors: ['FST_B24_REAUTH_REQUIRED'] })
    await slow.signal('SIGCONT')
    t.match(await slow.report(), { generations: [2], errors: [], succeeded: 50 })
    t.match(await quick.ask(acme, 50), { generations: [2], succeeded: 50 })
    t.match(await world.record(acme), { state: 'active', generation: 2 })
  })

  t.test(`${name}: the portal is renamed, and told once`, async t => {
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
