import Fastify from 'fastify'
import fastifyBitrix24 from 'fastify-bitrix24'
import { readSettings, serveHttp, type ServerSettings } from '../common/parent.ts'

const { clientId, clientSecret, redisUrl, dataDir, oauthServer } = readSettings<ServerSettings>()
const app = Fastify({ logger: false })

await app.register(fastifyBitrix24, {
  clientId,
  clientSecret,
  oauthServers: [oauthServer],
  ...(dataDir === undefined ? { redis: redisUrl } : { dataDir })
})
app.bitrix24.on('onCrmDynamicItemUpdate', async () => {})

serveHttp(await app.listen({ port: 0, host: '127.0.0.1' }))
