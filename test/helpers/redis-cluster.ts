import { randomInt } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { isFree, startRedis, type RedisServer } from './redis-server.ts'
import { until } from './until.ts'

const SLOTS = 16_384
/** The port of the cluster bus is this far above the one for clients. */
const BUS = 10_000
// Both ports of a node lie below those that a system gives to outgoing connections.
const PORTS = [20_000, 22_000] as const

/** A Redis Cluster of one's own: three masters on loopback, without any persistence. */
export interface RedisCluster {
  nodes: RedisServer[]
  /** Makes a client; who asks for it ends it. */
  client (): Cluster
  /** Ends the nodes. */
  stop (): Promise<void>
}

/** Starts three nodes, shares the slots among them and waits until all of them serve. They do not outlive this process. */
export async function startRedisCluster (): Promise<RedisCluster> {
  const nodes: RedisServer[] = []
  const stop = async () => { await Promise.all(nodes.map(node => node.stop())) }
  try {
    while (nodes.length < 3) nodes.push(await startNode())
    await join(nodes)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    nodes,
    client: () => new Cluster(nodes.map(({ port }) => ({ host: '127.0.0.1', port }))),
    stop
  }
}

async function startNode (attempts = 5): Promise<RedisServer> {
  const port = await portWithBus()
  try {
    return await startRedis({ port, args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
  } catch (error) {
    // Somebody may have taken a port since it was found to be free.
    if (attempts === 1) throw error
    return await startNode(attempts - 1)
  }
}

async function portWithBus (): Promise<number> {
  let port
  do port = randomInt(...PORTS)
  while (!await isFree(port) || !await isFree(port + BUS))
  return port
}

async function join (nodes: RedisServer[]): Promise<void> {
  const admins = nodes.map(({ url }) => new Redis(url))
  try {
    const [first, ...others] = admins as [Redis, ...Redis[]]
    for (const [i, admin] of admins.entries()) await admin.cluster('ADDSLOTS', ...shareOf(i, nodes.length))
    // With one epoch for all, each node of 6.2 would first have to win it from the others.
    for (const [i, admin] of admins.entries()) await admin.cluster('SET-CONFIG-EPOCH', i + 1)
    for (const [i] of others.entries()) await first.cluster('MEET', '127.0.0.1', (nodes[i + 1] as RedisServer).port)
    await until(async () => (await Promise.all(admins.map(admin => serves(admin, nodes.length)))).every(Boolean), 'all nodes serve')
  } finally {
    for (const admin of admins) admin.disconnect()
  }
}

/** Slots of the node at `index`, without an end that another begins with. */
function shareOf (index: number, count: number): number[] {
  const start = Math.floor(SLOTS * index / count)
  const end = Math.floor(SLOTS * (index + 1) / count)
  return Array.from({ length: end - start }, (_, i) => start + i)
}

async function serves (admin: Redis, count: number): Promise<boolean> {
  const info = await admin.cluster('INFO') as string
  return ['cluster_state:ok', `cluster_slots_ok:${SLOTS}`, `cluster_known_nodes:${count}`].every(line => info.includes(line))
}
