import type { FastifyBaseLogger } from 'fastify'
import type { PendingInstalls } from '../storage/pending-installs.ts'
import { EmbeddedClaims } from '../installs/embedded-claims.ts'
import { RedisPendingInstalls } from '../storage/redis/pending-installs.ts'
import { openQueue } from '../queue/open-queue.ts'
import type { EventQueue } from '../queue/queue.ts'
import type { BoundedClient } from '../storage/redis/client.ts'
import type { RedisOption } from '../storage/redis/connect.ts'
import { appId } from '../storage/redis/keys.ts'
import { OutageLog } from '../storage/redis/outage-log.ts'
import type { DeliverySettings } from './delivery-options.ts'

export interface StorageChoice {
  clientId: string
  redis?: RedisOption | undefined
  dataDir: string
  delivery: DeliverySettings
}

/** Where events wait, and what they may wait for. */
export interface EventStorage {
  queue: EventQueue
  claims: PendingInstalls
  close (): Promise<void>
}

/**
 * Opens the queue and the claims beside it, in Redis or in the folder.
 *
 * @throws FST_B24_STORE_UNAVAILABLE
 */
export async function openEventStorage ({ clientId, redis, dataDir, delivery }: StorageChoice, client: BoundedClient | undefined, log: FastifyBaseLogger, told = new OutageLog(log)): Promise<EventStorage> {
  const app = appId(clientId)
  const news = redis === undefined
    ? { onError: (error: Error) => log.warn({ err: error }, 'the folder of the events cannot be used') }
    : { onError: told.failed, onReady: told.ready }
  const queue = await openQueue({ redis, dataDir, app }, { ...delivery, ...news, onWarning: problem => log.warn(problem) })
  const close = async (): Promise<void> => await queue.close(0)
  if (client !== undefined) return { queue, claims: new RedisPendingInstalls(client, app), close }
  try {
    const claims = await EmbeddedClaims.open(dataDir, app)
    return { queue, claims, close: async () => await close().finally(() => claims.end()) }
  } catch (error) {
    await close()
    throw error
  }
}
