import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { DeliveryOptions } from '../../src/index.ts'
import { createSimulator, outcome, type SimulatedPortal, type Simulator } from '../../src/testing/index.ts'
import type { AppSettings, Order } from '../faults/programs/app.ts'
import { temporaryFolder } from './app.ts'
import { buildPrograms, startApp, type AppProgram } from './app-program.ts'
import { endSimulator } from './end-simulator.ts'
import { overlapsOf, readJournal, type HandlerRun } from './journal.ts'
import { Load, type LoadOptions, type Post } from './load.ts'
import { freePort } from './redis-server.ts'
import { forgetApp } from './redis-keys.ts'
import { secret } from './secrets.ts'
import { until } from './until.ts'

export type Storage = { redis: string | { sentinels: Array<{ host: string, port: number }>, name: string } } | { dataDir: string }

/** Where the events of a run may be kept: of each test alone. */
export const PLACES: ReadonlyArray<{ name: string, storage: () => Storage | 'SQLite' }> = [
  { name: 'SQLite', storage: () => 'SQLite' },
  { name: 'Redis', storage: () => ({ redis: process.env['REDIS_URL'] as string }) }
]

interface Keys {
  clientId: string
  clientSecret: string
}

export interface StartOptions extends Pick<AppSettings, 'clusterPorts' | 'alsoListensTo'> {
  delivery?: DeliveryOptions
  /** @default a port that every program of the run may have, one after another */
  port?: number
  nodeArguments?: string[]
  /** Number of the user whose process it is. */
  uid?: number
}

/** What became of the posts of a run. */
export interface Counts {
  sent: number
  /** Posts answered 200. */
  answered: number
  /** Posts that were handled: a deal's by a run of its own, a lead's, answered 200, by any that began after it. */
  handled: number
  /** Posts that were handled more than once; of a lead, that is not to be reported. */
  twice: number
  /** Posts whose handler was at work when its process was killed. */
  cutOff: number
  /** Posts answered 200 and not handled. */
  lost: number[]
}

/** Programs of one app on one storage, the portals that post to them, and what became of each post. */
export class FaultRun {
  readonly b24: Simulator
  readonly portals: SimulatedPortal[]
  /** Folder of the compiled programs. */
  readonly programs: string
  readonly posts: Post[] = []
  /** When each killed process died, by pid. */
  readonly deaths = new Map<number, number>()
  readonly #t: Test
  readonly #journal: string
  readonly #port: number
  readonly #bitrix24: Keys & Storage
  readonly #delivery: DeliveryOptions
  #next = 1

  private constructor (t: Test, b24: Simulator, programs: string, port: number, bitrix24: Keys & Storage, delivery: DeliveryOptions, portals: number) {
    this.#t = t
    this.b24 = b24
    this.programs = programs
    this.portals = Array.from({ length: portals }, (_, i) => b24.portal(`portal${i}.bitrix24.com`))
    this.#journal = join(programs, 'journal')
    this.#port = port
    this.#bitrix24 = bitrix24
    this.#delivery = delivery
  }

  /** Everything ends with the test. */
  static async open (t: Test, storage: Storage | 'SQLite', delivery: DeliveryOptions = {}, portals = 2): Promise<FaultRun> {
    const keys = { clientId: `local.${secret().slice(1, 20)}`, clientSecret: secret() }
    const place = storage === 'SQLite' ? { dataDir: temporaryFolder(t) } : storage
    if ('redis' in place && place.redis === process.env['REDIS_URL']) forgetApp(t, keys.clientId)
    const b24 = await createSimulator(keys)
    t.teardown(() => endSimulator(b24))
    return new FaultRun(t, b24, await buildPrograms(t), await freePort(), { ...keys, ...place }, delivery, portals)
  }

  get clientId (): string {
    return this.#bitrix24.clientId
  }

  async start ({ delivery = {}, port = this.#port, nodeArguments, uid, ...settings }: StartOptions = {}): Promise<AppProgram> {
    const common = { oauthServers: [this.b24.oauthServer], allowPrivateNetworks: true }
    return await startApp(this.#t, this.programs, {
      bitrix24: { ...this.#bitrix24, ...common, delivery: { ...this.#delivery, ...delivery } }, port, journal: this.#journal, ...settings
    }, { nodeArguments, uid })
  }

  /** Lets programs of another user run. */
  allow (uid: number): void {
    writeFileSync(this.#journal, '')
    for (const path of [this.#journal, this.programs]) chownSync(path, uid, uid)
  }

  /** Starts a program, and all portals install the app there. */
  async startInstalled (options?: StartOptions): Promise<AppProgram> {
    const program = await this.start(options)
    for (const portal of this.portals) {
      const { statusCode, body } = await outcome(portal.install(program.eventsUrl))
      if (statusCode !== 200) throw new Error(`not installed: ${statusCode} ${body}, ${program.log()}`)
    }
    if (options?.delivery?.worker !== false) await this.waitForIdle(program)
    return program
  }

  /** Posts one event and keeps the answer. */
  async post (program: AppProgram, order?: Partial<Order>): Promise<Post> {
    const [post] = await this.postAll(program, 1, order)
    return post as Post
  }

  /** Posts some events at once and keeps the answers. */
  async postAll (program: AppProgram, count: number, order: Partial<Order> = {}): Promise<Post[]> {
    const first = this.posts.length
    // Each sender is stopped after its first.
    await this.load(program, { concurrency: count, orderOf: n => ({ ...ownDeal(n), ...order }) }).stop()
    return this.posts.slice(first)
  }

  load (program: AppProgram, { portals = this.portals, ...options }: Omit<LoadOptions, 'url'> & { portals?: SimulatedPortal[] }): Load {
    return new Load(portals, this.posts, () => this.#next++, { url: program.eventsUrl, ...options })
  }

  async kill (program: AppProgram): Promise<void> {
    this.deaths.set(program.pid, await program.kill())
  }

  runs (): HandlerRun[] {
    return readJournal(this.#journal)
  }

  /** Waits until nothing waits and nothing runs. */
  async waitForIdle (program: AppProgram, ms = 60_000): Promise<void> {
    let last: unknown
    await until(async () => {
      const health = await program.health().catch((error: Error) => ({ queue: undefined, error: error.message }))
      last = health
      return health.queue?.waiting === 0 && health.queue.active === 0
    }, 'nothing waits', ms).catch((error: Error) => {
      throw new Error(`${error.message}; last seen ${JSON.stringify(last)}; log: ${program.log().slice(-3_000)}`)
    })
  }

  /** Waits until a post is answered 200. */
  async untilTaken (program: AppProgram): Promise<void> {
    await until(async () => (await this.post(program)).statusCode === 200, 'a post is answered 200', 30_000)
  }

  /** Says and checks what became of the posts since `first`, of which so many are dead letters; where some may be lost, that is only said. */
  judge (what: string, first = 0, { mayLose = false, dead = 0 } = {}): Counts {
    const runs = this.runs()
    const posts = this.posts.slice(first)
    const ends = new Map<number, number>()
    const latest = new Map<string, number>()
    for (const { n, item, beganAt, how } of runs) {
      if (how !== 'end') continue
      ends.set(n, (ends.get(n) ?? 0) + 1)
      latest.set(item, Math.max(beganAt, latest.get(item) ?? 0))
    }
    const isHandled = ({ n, event, item, beganAt }: Post) => event === 'onCrmLeadUpdate' ? (latest.get(item) ?? 0) > beganAt : ends.has(n)
    const answered = posts.filter(({ statusCode }) => statusCode === 200)
    const handled = posts.filter(post => isHandled(post) && (post.statusCode === 200 || post.event !== 'onCrmLeadUpdate'))
    const lost = answered.filter(post => !isHandled(post)).map(({ n }) => n)
    const twice = handled.filter(({ n, event }) => event !== 'onCrmLeadUpdate' && ends.get(n) as number > 1).length
    const torn = new Set(runs.filter(({ pid, endedAt }) => endedAt === undefined && this.deaths.has(pid)).map(({ n }) => n))
    const cutOff = posts.filter(({ n }) => torn.has(n)).length
    const overlaps = overlapsOf(runs, this.deaths)
    const counts = { sent: posts.length, answered: answered.length, handled: handled.length, twice, cutOff, lost }
    this.#t.comment(`${what}: sent ${counts.sent}, answered 200: ${counts.answered}, handled ${counts.handled} (twice: ${twice}, cut off: ${cutOff})${dead > 0 ? `, dead letters ${dead}` : ''}, lost ${lost.length - dead}`)
    if (!mayLose) this.#t.strictSame(lost.slice(dead, dead + 10), [], `${what}: none is lost`)
    this.#t.strictSame(overlaps.slice(0, 3), [], `${what}: no deal or lead is handled twice at once`)
    return counts
  }
}

/** An order about a deal that no other event is about. */
export function ownDeal (n: number): Order {
  return { ID: 100 + n, N: String(n) }
}

/** Mostly deals of their own that take up to 150 ms; every eighth event is about one of three deals. */
export function mixedDeals (n: number): Order {
  return n % 8 === 0 ? { ID: 1 + n % 3, N: String(n), MS: '3' } : { ...ownDeal(n), MS: String(n * 37 % 150) }
}

/** Updates of three leads of each portal, which take up to 150 ms; every tenth fails once. */
export function fewLeads (n: number): Order {
  return { ID: 1 + n % 3, N: String(n), MS: String(n * 37 % 150), ...(n % 10 === 3 && { WHAT: 'throw once' as const }) }
}
