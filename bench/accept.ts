import type { ServerSettings } from './common/parent.ts'
import { canPin, type Program, type Programs } from './programs.ts'
import type { LoadOrder, LoadResult } from './programs/load.ts'
import type { Portals } from './portals.ts'
import { atLeast, median, type Section } from './table.ts'

const SERVERS = ['empty Fastify route', 'written by hand', 'Express 5 recipe', 'fastify-bitrix24', 'fastify-bitrix24, embedded store'] as const
type ServerName = typeof SERVERS[number]

const [EMPTY, BY_HAND, EXPRESS, OURS, EMBEDDED] = SERVERS
const PROGRAMS = { [EMPTY]: 'empty', [BY_HAND]: 'by-hand', [EXPRESS]: 'express', [OURS]: 'ours', [EMBEDDED]: 'ours' }

const ROUNDS = 15
const ROUND_SECONDS = 1
const WARM_UP_SECONDS = 3
const SERVER_CORE = 0
const LOAD_CORE = 1
const COUNTED_EVENTS = 1000
const CONNECTIONS = 32

type Round = LoadResult & { cpuMicros: number }

/**
 * The accept path: requests a second of each server in turn, round by round, under load from another process. The servers
 * share one core, the load has the other.
 */
export async function measureAccept (programs: Programs, portals: Portals): Promise<Section> {
  const servers = await startServers(programs, portals)
  const load = await programs.start('load', LOAD_CORE, {})
  const bodies = portals.bodies()
  const run = async (name: ServerName, seconds: number) => await round(load, servers.get(name)!, { bodies, connections: CONNECTIONS, seconds })
  for (const name of SERVERS) await run(name, WARM_UP_SECONDS)

  const results = new Map<ServerName, Round[]>(SERVERS.map(name => [name, []]))
  for (let count = 0; count < ROUNDS; count++) {
    for (const name of SERVERS) results.get(name)!.push(await run(name, ROUND_SECONDS))
  }
  const count = async (connections: number) => await portals.countCommands(async () => {
    return (await round(load, servers.get(OURS)!, { bodies, connections, seconds: 10, amount: COUNTED_EVENTS })).requests
  })
  const section = sectionOf(results, { alone: await count(1), busy: await count(CONNECTIONS) })
  await programs.stopAll()
  return section
}

async function startServers (programs: Programs, portals: Portals): Promise<Map<ServerName, Program>> {
  const { dataDir, ...settings } = portals.settings
  const start = async (name: ServerName, own: ServerSettings) => [name, await programs.start(PROGRAMS[name], SERVER_CORE, own)] as const
  const servers = new Map(await Promise.all(SERVERS.map(name => start(name, name === EMBEDDED ? portals.settings : settings))))
  await portals.install(urlOf(servers.get(OURS)!))
  await portals.install(urlOf(servers.get(EMBEDDED)!))
  for (const [name, server] of servers) await portals.check(urlOf(server), name !== EMPTY)
  return servers
}

async function round (load: Program, server: Program, order: Omit<LoadOrder, 'url'>): Promise<Round> {
  const before = await server.ask({}) as { cpuMicros: number }
  const result = await load.ask({ url: urlOf(server), ...order } satisfies LoadOrder) as LoadResult
  const after = await server.ask({}) as { cpuMicros: number }
  if (result.failures > 0) throw new Error(`${result.failures} requests failed`)
  return { ...result, cpuMicros: (after.cpuMicros - before.cpuMicros) / result.requests }
}

function urlOf (server: Program): string {
  return `${(server.ready as { origin: string }).origin}/bitrix24/events`
}

function sectionOf (results: ReadonlyMap<ServerName, Round[]>, commands: { alone: number, busy: number }): Section {
  const of = (name: ServerName, figure: keyof Round): number => median(results.get(name)!.map(result => result[figure]))
  // What one round did is compared with its neighbours, which saw the same machine.
  const oursAgainst = (name: ServerName): number => {
    return median(results.get(OURS)!.map(({ perSecond }, index) => perSecond / results.get(name)![index]!.perSecond))
  }
  const rows = SERVERS.map(name => ({
    name,
    figure: `${Math.round(of(name, 'perSecond')).toLocaleString('en')} req/s`,
    more: `p99 ${of(name, 'p99Ms').toFixed(1)} ms, ${of(name, 'cpuMicros').toFixed(0)} µs of processor time each`,
    ratio: oursAgainst(name)
  }))
  const place = canPin ? 'servers on one core, load on another' : 'on any core'
  return {
    title: `Accepting an event, ${ROUNDS} rounds in turn, medians, ${CONNECTIONS} connections kept alive, ${place}`,
    rows: [
      ...rows,
      { name: 'Redis commands for an event, one at a time', figure: commands.alone.toFixed(2) },
      { name: `Redis commands for an event, ${CONNECTIONS} at once`, figure: commands.busy.toFixed(2) }
    ],
    notes: [
      'Ratio: requests/s of fastify-bitrix24 on Redis against this one, round by round. No server logs. All read the same Redis,',
      'with the defaults of ioredis; the plugin asks for what came in one turn of the event loop with one MGET.',
      'Bitrix24 itself closes the connection after each event, which costs all of them the same.'
    ],
    targets: [
      atLeast('accept, against written by hand', 0.9, oursAgainst(BY_HAND)),
      atLeast('accept, against Express 5', 3, oursAgainst(EXPRESS)),
      { name: 'Redis round trips for an event', wanted: 'one', got: commands.alone.toFixed(2), met: commands.alone < 1.01 }
    ]
  }
}
