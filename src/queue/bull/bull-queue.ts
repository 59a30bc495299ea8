import type { IRedisClient, Queue } from 'bullmq'
import { FST_B24_CLOSING } from '../../errors.ts'
import { end, openIoredis, quit, type RedisOption } from '../../storage/redis/connect.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import { checkDurability } from '../../storage/redis/durability.ts'
import { appKeys, queueOfApp } from '../../storage/redis/keys.ts'
import { BullAdds } from './bull-adds.ts'
import { BullDeadLetters } from './bull-dead-letters.ts'
import type { BullParts } from './bull-parts.ts'
import { BullScripts } from './bull-scripts.ts'
import { BullWorker } from './bull-worker.ts'
import { loadBull } from './load-bull.ts'
import { Outage } from './outage.ts'
import type { EventQueue, Process, QueueCounts, QueuedEvent, QueueSettings, WorkOptions } from '../queue.ts'

/** BullMQ writes a log of all that happens, which nobody here reads. */
const LOG_LENGTH = 10

/**
 * Opens the queue of an app in Redis, kept by BullMQ. `app` is an `appId()`.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when Redis does not answer within `deadlineMs`, 5 s unless told
 * @throws FST_B24_INVALID_OPTIONS for a string that is no URL of Redis
 */
export async function openBullQueue (option: RedisOption, app: string, settings: QueueSettings, deadlineMs?: number): Promise<EventQueue> {
  const outage = new Outage(settings.onError, settings.onReady)
  // BullMQ refuses clients with a prefix: its scripts would not know of it.
  const client = await openIoredis(option, { keyPrefix: '' }, error => outage.tell(error), deadlineMs, () => outage.connected())
  try {
    const bull = loadBull()
    const scripts = new BullScripts()
    scripts.adapt(bull.createIORedisClient(client as never) as unknown as IRedisClient)
    const parts = { bull, client, app, settings, outage, scripts }
    const queue = createQueue(parts)
    await withinDeadline(queue.waitUntilReady())
    const adds = new BullAdds(client, queue.getBackend() as never, appKeys(app), scripts)
    await adds.look()
    // Asked, and not waited for: it stops nobody.
    checkDurability(client).then(problem => { if (problem !== undefined) settings.onWarning?.(problem) })
    return new BullQueue(parts, queue, adds)
  } catch (error) {
    end(client)
    throw error
  }
}

function createQueue ({ bull, client, app, outage }: BullParts): Queue {
  const { name, prefix } = queueOfApp(app)
  const queue = new bull.Queue(name, {
    prefix, connection: client as never, skipVersionCheck: true, streams: { events: { maxLen: LOG_LENGTH } }
  }) as unknown as Queue
  queue.on('error', error => outage.tell(error))
  return queue
}

/** Keeps events in BullMQ. */
class BullQueue implements EventQueue {
  readonly deadLetters: BullDeadLetters
  readonly #parts: BullParts
  readonly #queue: Queue
  readonly #adds: BullAdds
  readonly #adding = new Set<Promise<void>>()
  #worker: BullWorker | undefined
  #stopped: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor (parts: BullParts, queue: Queue, adds: BullAdds) {
    this.#parts = parts
    this.#queue = queue
    this.#adds = adds
    this.deadLetters = new BullDeadLetters(queue, parts.client, adds)
  }

  async add (event: QueuedEvent): Promise<void> {
    if (this.#closed !== undefined) throw new FST_B24_CLOSING()
    const added = this.#adds.add(event)
    this.#adding.add(added)
    try {
      await added
    } finally {
      this.#adding.delete(added)
    }
  }

  work (process: Process, options: WorkOptions): void {
    this.#worker = new BullWorker(this.#parts, process, options, () => this.#queue.promoteJobs())
  }

  async counts (): Promise<QueueCounts> {
    const { active = 0, failed = 0, ...rest } = await withinDeadline(this.#queue.getJobCounts('active', 'failed', 'wait', 'prioritized', 'delayed'))
    return { waiting: Object.values(rest).reduce((sum, count) => sum + count, 0), active, dead: failed }
  }

  async stopWorking (timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#worker?.close(timeoutMs)
    await this.#stopped
  }

  close (timeoutMs: number): Promise<void> {
    this.#closed ??= this.#close(timeoutMs)
    return this.#closed
  }

  async #close (timeoutMs: number): Promise<void> {
    await this.stopWorking(timeoutMs)
    await Promise.allSettled(this.#adding)
    try {
      await this.#queue.close()
    } finally {
      await quit(this.#parts.client)
    }
  }
}
