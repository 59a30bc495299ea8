// An app to start from: what README shows, with the handlers of handlers.ts. `npm start` runs demo.ts, which brings portals of its own.
import Fastify from 'fastify'
import fastifyBitrix24 from 'fastify-bitrix24'
import { addHandlers } from './handlers.ts'

const { B24_CLIENT_ID, B24_CLIENT_SECRET, REDIS_URL, PUBLIC_URL, PORT = '3000' } = process.env
const app = Fastify({ logger: true, forceCloseConnections: true, requestTimeout: 30_000 })

await app.register(fastifyBitrix24, {
  clientId: B24_CLIENT_ID,
  clientSecret: B24_CLIENT_SECRET,
  redis: REDIS_URL, // left out: SQLite in ./.bitrix24
  publicUrl: PUBLIC_URL // where Bitrix24 reaches this server: it subscribes to what you listen to
})
addHandlers(app)

process.once('SIGTERM', () => app.close()) // lets handlers end
await app.listen({ port: Number(PORT), host: '0.0.0.0' })
