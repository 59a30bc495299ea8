import { bounded, type BoundedClient, openIoredis, quit, type RedisOption } from '../../src/storage/redis/connect.ts'

export interface RedisConnection {
  client: BoundedClient
  close (): Promise<void>
}

/** Opens a connection as `openRedisStorage` does, for parts of the storage by themselves. */
export async function connectRedis (option: RedisOption, log: (error: Error) => void = () => {}, deadlineMs?: number): Promise<RedisConnection> {
  const client = await openIoredis(option, {}, log, deadlineMs)
  return { client: bounded(client), close: () => quit(client) }
}
