import Fastify from 'fastify'
import { readSettings, serveParent } from '../common/parent.ts'

/** What an app starts with, beside one route of its own. */
export interface StartSettings {
  /** The app uses ioredis itself. */
  ownClient: boolean
  plugin?: { clientId: string, clientSecret: string, redis?: string, dataDir?: string }
}

export interface Started {
  /** Time from the registration to ready, every module being there, ms. */
  registrationMs: number
}

const { ownClient, plugin } = readSettings<StartSettings>()
const app = Fastify({ logger: false })
app.get('/', async () => ({ hello: 'world' }))

const client = ownClient ? await connect() : undefined
const { default: fastifyBitrix24 } = plugin === undefined ? { default: undefined } : await import('fastify-bitrix24')
const start = performance.now()
if (fastifyBitrix24 !== undefined && plugin !== undefined) {
  await app.register(fastifyBitrix24, { ...plugin, ...(client !== undefined && { redis: client }) })
}
await app.ready()
serveParent({ registrationMs: performance.now() - start } satisfies Started, () => undefined)

async function connect () {
  const { Redis } = await import('ioredis')
  const client = new Redis(process.env['REDIS_URL']!)
  await client.ping()
  return client
}
