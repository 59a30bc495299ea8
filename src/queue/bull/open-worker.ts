import type { Job, Processor, RedisQueueBackend, Worker, WorkerOptions } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import { end } from '../../storage/redis/connect.ts'
import { queueOfApp } from '../../storage/redis/keys.ts'
import type { BullParts } from './bull-parts.ts'
import { backoffOf } from '../../storage/backoff.ts'
import type { QueueSettings } from '../queue.ts'

/** Until a command that failed for want of a connection is tried again, ms. */
const RETRY_MS = 500
/** Longest wait for a job before BullMQ looks after the connection, s. */
const DRAIN_S = 5

/**
 * Starts a BullMQ worker with one connection of its own, for the command that blocks; the rest travels with `client`.
 *
 * BullMQ itself would take a second one, that never gives up a command. `disconnect` ends it at once.
 */
export function openWorker ({ bull, client, app, settings }: BullParts, concurrency: number, process: Processor): { worker: Worker, disconnect: () => void } {
  const { name, prefix } = queueOfApp(app)
  const blocking = blockingOf(client)
  const backend = backendOf(bull, client, blocking)
  const options = { ...optionsOf(settings), prefix, concurrency, connection: client }
  const worker = new bull.Worker(name, process, options as never, backend as never) as unknown as Worker
  return { worker, disconnect: () => end(blocking) }
}

/** A connection of the same kind that waits for as long as it takes. */
function blockingOf (client: Redis | Cluster): Redis {
  const patient = { maxRetriesPerRequest: null, socketTimeout: undefined, lazyConnect: true }
  if (!('nodes' in client)) return client.duplicate(patient as never)
  return client.duplicate([], { lazyConnect: true, redisOptions: { ...client.options.redisOptions, ...patient } as object }) as unknown as Redis
}

function optionsOf ({ backoffMs, stalledAfterMs, deadLetters }: QueueSettings): Omit<WorkerOptions, 'connection'> {
  return {
    lockDuration: stalledAfterMs,
    stalledInterval: stalledAfterMs / 2,
    // The attempts are counted by who handles them, together with the failures.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    drainDelay: DRAIN_S,
    runRetryDelay: RETRY_MS,
    removeOnComplete: { count: 0 },
    removeOnFail: { age: Math.ceil(deadLetters.maxAgeMs / 1000), count: deadLetters.maxCount },
    settings: { backoffStrategy: (attempt, _type, _error, job) => backoffOf(attempt + (job as Job).stalledCounter, backoffMs) }
  }
}

type Bull = BullParts['bull']

function backendOf (bull: Bull, client: Redis, blocking: Redis): (name: string, options: WorkerOptions) => RedisQueueBackend {
  return (name, options) => {
    const keys = new bull.QueueKeys(options.prefix)
    return new bull.RedisQueueBackend(
      new bull.RedisConnection(client as never, { shared: true, blocking: false, skipVersionCheck: true }),
      name, keys.getKeys(name), type => keys.toKey(name, type), options,
      new bull.RedisConnection(blocking as never, { shared: false, blocking: true })
    )
  }
}
