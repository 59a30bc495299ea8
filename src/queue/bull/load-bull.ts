import { loadPackage } from '../../load-package.ts'

/** What is used of BullMQ, and the reader of what it packs. */
export type Bull = Pick<typeof import('msgpackr'), 'unpack'> & Pick<typeof import('bullmq'),
  'Queue' | 'Worker' | 'QueueKeys' | 'RedisQueueBackend' | 'RedisConnection' | 'createIORedisClient' | 'DelayedError' | 'UnrecoverableError'>

const FILES = ['queue', 'worker', 'queue-keys', 'redis-queue-backend', 'redis-connection', 'ioredis-client', 'errors/delayed-error', 'errors/unrecoverable-error']

/**
 * Loads what is used of BullMQ: the very classes that its index has, from their own files. The index reads seventy files more,
 * those for PostgreSQL among them: 15 ms at every start.
 */
export function loadBull (): Bull {
  return Object.assign({ unpack: loadPackage<typeof import('msgpackr')>('msgpackr').unpack }, ...FILES.map(file => loadPackage<Bull>(`bullmq/dist/cjs/classes/${file}.js`)))
}
