// Handles what demo.ts stores in Redis. Start as many as you want, on as many machines; each takes what is due.
//
//   REDIS_URL    the Redis of the demo
//   B24_CLIENT_ID, B24_CLIENT_SECRET, B24_MEMBER_ID, B24_APPLICATION_TOKEN, PUBLIC_URL, PORT, SIMULATOR_PORT   as the demo has them
import Fastify from 'fastify'
import fastifyBitrix24 from 'fastify-bitrix24'
import { addHandlers } from './handlers.ts'
import { settings } from './settings.ts'

if (process.env['REDIS_URL'] === undefined) throw new Error('Set REDIS_URL to the Redis that the demo uses')

const app = Fastify({ logger: { level: process.env['LOG_LEVEL'] ?? 'warn' } })
await app.register(fastifyBitrix24, settings)
addHandlers(app)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())

// It need not listen: the work begins when the app is ready.
await app.ready()
console.log('The worker waits for events')
