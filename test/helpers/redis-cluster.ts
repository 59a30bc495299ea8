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
  /** The masters that were started. */
  nodes: RedisServer[]
  /** The node whose slots a key is in. */
  nodeOf (key: string): Promise<RedisServer>
  /** Starts a replica of a node and waits until it follows and all others know it. */
  addReplica (of: RedisServer): Promise<void>
  /** Makes a client; who asks for it ends it. */
  client (): Cluster
  /** Ends the nodes. */
  stop (): Promise<void>
}

/**
 * Starts three nodes, shares the slots among them and waits until all of them serve. They do not outlive this process.
 * A node that does not answer for `nodeTimeoutMs` gives way to a replica of it; replicas stay with their master.
 */
export async function startRedisCluster ({ nodeTimeoutMs = 15_000 } = {}): Promise<RedisCluster> {
  const nodes: RedisServer[] = []
  const replicas: RedisServer[] = []
  const stop = async () => { await Promise.all([...nodes, ...replicas].map(node => node.stop())) }
  try {
    while (nodes.length < 3) nodes.push(await startNode(nodeTimeoutMs))
    await join(nodes)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    nodes,
    nodeOf: async key => nodes[await indexOfSlot(nodes, key)] as RedisServer,
    addReplica: async of => {
      const replica = await startNode(nodeTimeoutMs)
      replicas.push(replica)
      await follow(replica, of, nodes, nodes.length + replicas.length)
    },
    client: () => new Cluster(nodes.map(({ port }) => ({ host: '127.0.0.1', port }))),
    stop
  }
}

async function startNode (nodeTimeoutMs: number, attempts = 5): Promise<RedisServer> {
  const port = await portWithBus()
  try {
    return await startRedis({ port, args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', String(nodeTimeoutMs), '--cluster-migration-barrier', '9'] })
  } catch (error) {
    // Somebody may have taken a port since it was found to be free.
    if (attempts === 1) throw error
    return await startNode(nodeTimeoutMs, attempts - 1)
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

async function follow (replica: RedisServer, { port, url }: RedisServer, nodes: readonly RedisServer[], count: number): Promise<void> {
  const [admin, ...others] = [replica.url, url, ...nodes.map(node => node.url)].map(url => new Redis(url)) as [Redis, Redis, ...Redis[]]
  try {
    const id = await others[0]!.cluster('MYID') as string
    await admin.cluster('MEET', '127.0.0.1', port)
    await until(async () => await admin.cluster('REPLICATE', id).then(() => true, () => false), 'the replica knows its master', 10_000)
    await until(async () => /master_link_status:up/.test(await admin.info('replication')), 'the replica follows', 10_000)
    await until(async () => (await Promise.all([admin, ...others].map(admin => serves(admin, count)))).every(Boolean), 'all nodes know it', 10_000)
  } finally {
    for (const client of [admin, ...others]) client.disconnect()
  }
}

async function indexOfSlot (nodes: readonly RedisServer[], key: string): Promise<number> {
  const admin = new Redis(nodes[0]!.url)
  const slot = await admin.cluster('KEYSLOT', key)
  admin.disconnect()
  return nodes.findIndex((_, i) => shareOf(i, nodes.length).includes(slot))
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
