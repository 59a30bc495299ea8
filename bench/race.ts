import type { Portals } from './portals.ts'
import { canPin, LOAD_CORE, SERVER_CORE, urlOf, type Program, type Programs } from './programs.ts'
import type { LoadOrder, LoadResult } from './programs/load.ts'
import { median, type Row } from './table.ts'

const ROUND_SECONDS = 1
const WARM_UP_SECONDS = 2
/** A burst of Bitrix24 has more on their way. */
export const CONNECTIONS = 64
export const PLACE = canPin ? 'servers on one core, load on another' : 'on any core'

export interface Racer<Name> {
  name: Name
  /** File in `programs`. */
  program: string
  settings: object
  /** It answers a forged event with 403. */
  proves: boolean
}

type Round = LoadResult & { cpuMicros: number, redisMicros: number }

/**
 * Servers that get the same load in turn, round by round, from another process. They share one core, the load has the
 * other. Each post is of another item, and what they stored is taken out of Redis before each round.
 */
export class Race<Name extends string> {
  readonly #portals: Portals
  readonly #load: Program
  readonly #servers: ReadonlyMap<Name, Program>
  readonly #results: ReadonlyMap<Name, Round[]>
  #nextId = 1

  private constructor (portals: Portals, load: Program, servers: ReadonlyMap<Name, Program>) {
    this.#portals = portals
    this.#load = load
    this.#servers = servers
    this.#results = new Map(Array.from(servers.keys(), name => [name, []]))
  }

  static async open<Name extends string> (programs: Programs, portals: Portals, racers: ReadonlyArray<Racer<Name>>): Promise<Race<Name>> {
    const load = await programs.start('load', LOAD_CORE, {})
    const servers = new Map<Name, Program>()
    for (const { name, program, settings, proves } of racers) {
      const server = await programs.start(program, SERVER_CORE, settings)
      await portals.check(urlOf(server), proves)
      servers.set(name, server)
    }
    return new Race(portals, load, servers)
  }

  async run (rounds: number): Promise<void> {
    for (const name of this.#servers.keys()) await this.round(name, { seconds: WARM_UP_SECONDS })
    for (let count = 0; count < rounds; count++) {
      for (const [name, results] of this.#results) results.push(await this.round(name, { seconds: ROUND_SECONDS }))
    }
  }

  async round (name: Name, order: Pick<LoadOrder, 'seconds' | 'amount'> & { connections?: number }): Promise<Round> {
    await this.#portals.emptyQueues()
    const server = this.#servers.get(name)!
    const before = await this.#used(server)
    const bodies = this.#portals.bodies()
    const result = await this.#load.ask({ url: urlOf(server), connections: CONNECTIONS, bodies, fromId: this.#nextId, ...order } satisfies LoadOrder) as LoadResult
    const after = await this.#used(server)
    this.#nextId += 1_000_000
    if (result.failures > 0) throw new Error(`${result.failures} requests to ${name} failed`)
    const [cpuMicros, redisMicros] = after.map((used, at) => (used - before[at]!) / result.requests) as [number, number]
    return { ...result, cpuMicros, redisMicros }
  }

  /** Requests a second of one against another. What one round did is compared with its neighbours, which saw the same machine. */
  ratio (name: Name, against: Name): number {
    const others = this.#results.get(against)!
    return median(this.#results.get(name)!.map(({ perSecond }, index) => perSecond / others[index]!.perSecond))
  }

  /** A row for each server; ratios are of `name` against it. */
  rows (name: Name): Row[] {
    return Array.from(this.#results, ([each, results]) => {
      const of = (figure: keyof Round): number => median(results.map(result => result[figure]))
      return {
        name: each,
        figure: `${Math.round(of('perSecond')).toLocaleString('en')} req/s`,
        more: `p99 ${of('p99Ms').toFixed(1)} ms, ${of('cpuMicros').toFixed(0)} µs of processor time each, ${of('redisMicros').toFixed(0)} µs in Redis`,
        ratio: this.ratio(name, each)
      }
    })
  }

  /** Ends the servers, and leaves nothing of theirs waiting. */
  async close (): Promise<void> {
    await Promise.all([this.#load, ...this.#servers.values()].map(program => program.stop()))
    await this.#portals.emptyQueues()
  }

  async #used (server: Program): Promise<[cpu: number, redis: number]> {
    const { cpuMicros } = await server.ask({}) as { cpuMicros: number }
    return [cpuMicros, await this.#portals.redisMicros()]
  }
}
