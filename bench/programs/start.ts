import Fastify from 'fastify'
import type { FastifyBitrix24Options } from 'fastify-bitrix24'
import { readSettings, serveParent } from '../common/parent.ts'

/** What an app starts with, beside one route of its own. */
export interface StartSettings {
  /** Redis that the app uses itself. */
  client?: string
  plugin?: FastifyBitrix24Options
}

export interface Started {
  /** Time from the registration to ready, every module being there, ms. */
  registrationMs: number
}

const { client: url, plugin } = readSettings<StartSettings>()
const app = Fastify({ logger: false })
app.get('/', async () => ({ hello: 'world' }))

const client = url === undefined ? undefined : await connect(url)
const { default: fastifyBitrix24 } = plugin === undefined ? { default: undefined } : await import('fastify-bitrix24')
const start = performance.now()
if (fastifyBitrix24 !== undefined && plugin !== undefined) {
  await app.register(fastifyBitrix24, { ...plugin, ...(client !== undefined && { redis: client }) })
}
await app.ready()
serveParent({ registrationMs: performance.now() - start } satisfies Started, () => undefined)

async function connect (url: string) {
  const { Redis } = await import('ioredis')
  const client = new Redis(url)
  await client.ping()
  return client
}
