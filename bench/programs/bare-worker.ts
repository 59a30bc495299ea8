import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { readSettings, serveParent, type ServerSettings } from '../common/parent.ts'
import { Runs } from '../common/runs.ts'

// A worker of BullMQ that does nothing with each job.
const { redisUrl, queueName, concurrency } = readSettings<ServerSettings & { concurrency: number }>()
const runs = new Runs()
const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
const worker = new Worker(queueName, async ({ data }) => runs.add(data.memberId, 1), { connection, concurrency })

serveParent({}, () => runs.report())
worker.on('error', error => console.error(error))
