import formbody from '@fastify/formbody'
import { Queue } from 'bullmq'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { decodeForm } from '../../src/wire/form.ts'
import { readSettings, serveHttp, type ServerSettings } from '../common/parent.ts'
import { proves, type Body } from '../common/proof.ts'

// The same as by hand, and a job is added before the answer: no turns, no item at a time, no coalescing.
const { redisUrl, installKey, queueName } = readSettings<ServerSettings>()
const redis = new Redis(redisUrl)
const queue = new Queue(queueName, { connection: redis })
const app = Fastify({ logger: false })

await app.register(formbody, { parser: decodeForm })

app.post<{ Body: Body }>('/bitrix24/events', async (request, reply) => {
  const { event, data, ts, auth } = request.body
  if (!proves(await redis.get(installKey + auth.member_id), auth.application_token)) return reply.code(403).send({ status: 'forbidden' })
  await queue.add(event, { event, data, ts, memberId: auth.member_id, domain: auth.domain }, { removeOnComplete: true })
  return { status: 'accepted' }
})

serveHttp(await app.listen({ port: 0, host: '127.0.0.1' }))
