import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { EventQueue } from '../../../src/storage/event-queue.ts'
import type { EventStoreSettings } from '../../../src/storage/event-store.ts'
import type { QueueSettings } from '../../../src/storage/queue-worker.ts'
import type { DeadEvent, Processor, Run } from '../../../src/storage/queued-event.ts'
import type { RedisOption } from '../../../src/storage/redis/connect.ts'
import { appKeys } from '../../../src/storage/redis/keys.ts'
import { openRedisStorage } from '../../../src/storage/redis/storage.ts'
import type { Storage, StorageSettings } from '../../../src/storage/storage.ts'
import { startRedis, type RedisServer } from '../../helpers/redis-server.ts'

export const APP = 'trial'
export const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE' }

type Settings = QueueSettings & EventStoreSettings & Pick<StorageSettings, 'waitReplicas'>

/** A server of one's own, and what tests need to look behind the storage. */
export interface Setup {
  server: RedisServer
  admin: Redis
  /** What `onError` was called with, by storages and by queues. */
  errors: Error[]
  warnings: string[]
  runs: Run[]
  dead: DeadEvent[]
  storage (over?: Partial<Settings>, option?: RedisOption): Promise<Storage>
  open (over?: Partial<Settings>, option?: RedisOption): Promise<EventQueue>
  /** Works, and keeps every run and dead letter. */
  work (queue: EventQueue, processor?: Processor): void
  /** Name of a key of events. */
  key (name: string): string
}

export async function setUp (t: Test, args: string[] = []): Promise<Setup> {
  const server = await startRedis({ args })
  const admin = new Redis(server.url, { retryStrategy: () => 50 })
  admin.on('error', () => {})
  const queues: EventQueue[] = []
  const storages: Storage[] = []
  const setup: Setup = {
    server,
    admin,
    errors: [],
    warnings: [],
    runs: [],
    dead: [],
    async storage ({ attempts = 3, deadLetters = { maxAgeMs: 3_600_000, maxCount: 100, maxBytes: 10_000_000 }, maxWaitingBytes, waitReplicas = 0 } = {}, option = server.url) {
      const storage = await openRedisStorage(option, {
        app: APP,
        events: { attempts, deadLetters, maxWaitingBytes },
        waitReplicas,
        onError: error => { setup.errors.push(error) },
        onReady: () => {},
        onWarning: problem => { setup.warnings.push(problem) }
      })
      storages.push(storage)
      return storage
    },
    async open (over = {}, option) {
      const { events } = await setup.storage(over, option)
      const queue = new EventQueue(events, { attempts: 3, backoffMs: 10, stalledAfterMs: 2_000, onError: error => { setup.errors.push(error) }, ...over })
      queues.push(queue)
      return queue
    },
    work (queue, processor = async () => ({ status: 'done' })) {
      queue.work(async run => {
        setup.runs.push(run)
        return await processor(run)
      }, { concurrency: 4, onDead: event => { setup.dead.push(event) } })
    },
    key: name => `${appKeys(APP).events}${name}`
  }
  t.teardown(async () => {
    await Promise.all(queues.map(queue => queue.close(0)))
    await Promise.all(storages.map(storage => storage.close()))
    admin.disconnect()
    await server.stop()
  })
  return setup
}

export async function clientsOf ({ admin }: Setup): Promise<string[]> {
  return (await admin.client('LIST') as string).trim().split('\n')
}
