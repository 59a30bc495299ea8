import { writeSync } from 'node:fs'
import { openBullQueue } from '../../../src/queue/bull/bull-queue.ts'
import { APP } from './bull-setup.ts'

// Begins one event of the queue at REDIS_URL, says so, and never ends it.
const queue = await openBullQueue(process.env['REDIS_URL'] ?? '', APP, {
  attempts: 3, backoffMs: 10, stalledAfterMs: 1_500, deadLetters: { maxAgeMs: 3_600_000, maxCount: 100 }, onError: () => {}
})
queue.work(async () => {
  writeSync(1, 'runs')
  return await new Promise(() => {})
}, { concurrency: 1, onDead: () => {} })
