import type { RedisOption } from '../storage/redis/connect.ts'
import { openBullQueue } from './bull/bull-queue.ts'
import { openEmbeddedQueue } from './embedded/embedded-queue.ts'
import type { EventQueue, QueueSettings } from './queue.ts'

export interface QueueChoice {
  redis?: RedisOption | undefined
  dataDir: string
  /** `appId()` of the app. */
  app: string
}

/**
 * Opens the queue that the options ask for.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when it does not answer
 */
export async function openQueue ({ redis, dataDir, app }: QueueChoice, settings: QueueSettings): Promise<EventQueue> {
  return redis === undefined ? await openEmbeddedQueue(dataDir, app, settings) : await openBullQueue(redis, app, settings)
}
