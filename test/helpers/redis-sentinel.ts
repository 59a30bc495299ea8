import { Redis } from 'ioredis'
import { startRedis, type RedisServer } from './redis-server.ts'
import { until } from './until.ts'

/** A master with its replicas, and one Sentinel that watches them. */
export interface WatchedRedis {
  /** The option `redis` of an app. */
  option: { sentinels: Array<{ host: string, port: number }>, name: string }
  master: RedisServer
  /** Port of the server that Sentinel takes for the master. */
  masterPort (): Promise<number>
  stop (): Promise<void>
}

const NAME = 'b24'

/** Starts them on loopback and waits until Sentinel knows that all replicas follow. They do not outlive this process. */
export async function startSentinel ({ replicas }: { replicas: number }): Promise<WatchedRedis> {
  const master = await startRedis()
  const servers = [master]
  for (let i = 0; i < replicas; i++) servers.push(await startRedis({ args: ['--replicaof', '127.0.0.1', String(master.port)] }))
  const config = `sentinel monitor ${NAME} 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds ${NAME} 500
sentinel failover-timeout ${NAME} 2000
`
  await until(async () => (await replicaLinks(master)).length === replicas, 'the replicas follow')
  const sentinel = await startRedis({ config, args: ['--sentinel'] })
  servers.push(sentinel)
  const admin = new Redis(sentinel.url)
  await until(async () => {
    const known = await admin.call('SENTINEL', 'REPLICAS', NAME) as string[][]
    return known.filter(fields => fields[fields.indexOf('master-link-status') + 1] === 'ok').length === replicas
  }, 'Sentinel knows the replicas')
  return {
    option: { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: NAME },
    master,
    masterPort: async () => Number((await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME) as string[])[1]),
    stop: async () => {
      admin.disconnect()
      await Promise.all(servers.map(server => server.stop()))
    }
  }
}

/** Cuts a master off from its replicas, and lets none of them come back. */
export async function cutReplicasOff ({ url }: RedisServer): Promise<void> {
  const admin = new Redis(url)
  await admin.acl('SETUSER', 'default', '-psync', '-sync')
  await admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
  admin.disconnect()
}

/** What a master knows of replicas that follow it. */
export async function replicaLinks ({ url }: RedisServer): Promise<string[]> {
  const admin = new Redis(url)
  const links = (await admin.info('replication')).match(/^slave\d+:.*state=online.*$/gm) ?? []
  admin.disconnect()
  return links
}
