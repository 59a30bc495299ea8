import Fastify from 'fastify'
import formbody from '@fastify/formbody'
import { serveHttp } from '../common/parent.ts'

// The least that Fastify can do with a form: read it with the parser that everybody has, and answer.
const app = Fastify({ logger: false })
await app.register(formbody)
app.post('/bitrix24/events', async () => ({ status: 'accepted' }))
serveHttp(await app.listen({ port: 0, host: '127.0.0.1' }))
