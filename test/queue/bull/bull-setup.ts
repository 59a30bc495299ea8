import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { openBullQueue } from '../../../src/queue/bull/bull-queue.ts'
import type { StoredLetter, EventQueue, Process, QueueSettings, Run } from '../../../src/queue/queue.ts'
import type { RedisOption } from '../../../src/storage/redis/connect.ts'
import { queueOfApp } from '../../../src/storage/redis/keys.ts'
import { startRedis, type RedisServer } from '../../helpers/redis-server.ts'

export const APP = 'bull'
export const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE' }

/** A server of one's own, and what tests need to look behind the queue. */
export interface Setup {
  server: RedisServer
  admin: Redis
  /** What `onError` was told. */
  errors: Error[]
  runs: Run[]
  dead: StoredLetter[]
  open (over?: Partial<QueueSettings>, option?: RedisOption): Promise<EventQueue>
  /** Works, and writes down every run and dead letter. */
  work (queue: EventQueue, process?: Process): void
  /** Name of a key of BullMQ. */
  key (name: string): string
}

export async function setUp (t: Test, args: string[] = []): Promise<Setup> {
  const server = await startRedis({ args })
  const admin = new Redis(server.url, { retryStrategy: () => 50 })
  admin.on('error', () => {})
  const queues: EventQueue[] = []
  const { name, prefix } = queueOfApp(APP)
  const setup: Setup = {
    server,
    admin,
    errors: [],
    runs: [],
    dead: [],
    async open (over = {}, option = server.url) {
      const queue = await openBullQueue(option, APP, {
        attempts: 3, backoffMs: 10, stalledAfterMs: 2_000, deadLetters: { maxAgeMs: 3_600_000, maxCount: 100 }, onError: (error) => { setup.errors.push(error) }, ...over
      })
      queues.push(queue)
      return queue
    },
    work (queue, process = async () => ({ status: 'done' })) {
      const written: Process = async (run) => {
        setup.runs.push(run)
        return await process(run)
      }
      queue.work(written, { concurrency: 4, onDead: (letter) => { setup.dead.push(letter) } })
    },
    key: (of) => `${prefix}:${name}:${of}`
  }
  t.teardown(async () => {
    await Promise.all(queues.map(queue => queue.close(0)))
    admin.disconnect()
    await server.stop()
  })
  return setup
}

/** The queue as a stranger opens it. */
export function strangersQueue (t: Test, { server }: Setup): Queue {
  const { name, prefix } = queueOfApp(APP)
  const queue = new Queue(name, { prefix, connection: { url: server.url, maxRetriesPerRequest: null } })
  t.teardown(() => queue.close())
  return queue
}
