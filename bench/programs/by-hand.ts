import formbody from '@fastify/formbody'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { decodeForm } from '../../src/wire/form.ts'
import { readSettings, serveHttp, type ServerSettings } from '../common/parent.ts'
import { proves, type Body } from '../common/proof.ts'

// What one writes by hand for this one event: the same decoder, the same record, the same proof, and nothing around it.
const { redisUrl, installKey } = readSettings<ServerSettings>()
const redis = new Redis(redisUrl)
const app = Fastify({ logger: false })

await app.register(formbody, { parser: decodeForm })

app.post<{ Body: Body }>('/bitrix24/events', async (request, reply) => {
  const { data, auth } = request.body
  if (!proves(await redis.get(installKey + auth.member_id), auth.application_token)) return reply.code(403).send({ status: 'forbidden' })
  await onItemUpdate({ id: Number(data.FIELDS.ID), entityTypeId: Number(data.FIELDS.ENTITY_TYPE_ID) })
  return { status: 'accepted' }
})

serveHttp(await app.listen({ port: 0, host: '127.0.0.1' }))

async function onItemUpdate (_item: { id: number, entityTypeId: number }): Promise<void> {}
