import { createRequire } from 'node:module'
import t from 'tap'
import { loadBull } from '../../../src/queue/bull/load-bull.ts'

t.test('gives the classes that everybody else has of BullMQ', async t => {
  const bullmq = createRequire(import.meta.url)('bullmq') as typeof import('bullmq')
  const { unpack: _, ...classes } = loadBull()
  for (const [name, value] of Object.entries(classes)) t.equal(value, bullmq[name as keyof typeof bullmq], name)
})

t.test('gives all that is used', async t => {
  t.match(loadBull(), {
    Queue: Function,
    Worker: Function,
    QueueKeys: Function,
    RedisQueueBackend: Function,
    RedisConnection: Function,
    createIORedisClient: Function,
    DelayedError: Function,
    UnrecoverableError: Function,
    unpack: Function
  })
})
