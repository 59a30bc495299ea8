// A host app to start from. Without B24_CLIENT_ID it brings its own Bitrix24: a simulator with three portals at work.
//
//   B24_CLIENT_ID, B24_CLIENT_SECRET   the keys of your app: it then waits for real portals
//   B24_MEMBER_ID, B24_APPLICATION_TOKEN   an outgoing webhook of one portal
//   PUBLIC_URL   where Bitrix24 reaches this server     PORT   default 3000
//   HOST         127.0.0.1 behind a tunnel: only there is the live page at /, for it has no password
//   REDIS_URL    keeps installs and events in Redis; without it, in ./.bitrix24     LOG_LEVEL   info shows why a post was refused
//   WORKER=no    only receives; examples/worker.ts handles (needs REDIS_URL)
//   BOARD_PASSWORD   shows the queue at /board to the user 'admin' (needs REDIS_URL)
//   --once       ends when one event of each portal was handled
import Fastify from 'fastify'
import fastifyBitrix24 from 'fastify-bitrix24'
import { showBoard } from './board.ts'
import { addHandlers } from './handlers.ts'
import { livePage } from './live-page.ts'
import { isSimulated, settings } from './settings.ts'
import { simulateBitrix24 } from './simulated-portals.ts'

const { BOARD_PASSWORD, PUBLIC_URL, REDIS_URL, WORKER, PORT = '3000', HOST = isSimulated ? '127.0.0.1' : '0.0.0.0', LOG_LEVEL = 'warn' } = process.env

const simulation = isSimulated ? await simulateBitrix24() : undefined
const app = Fastify({ logger: { level: LOG_LEVEL }, requestTimeout: 30_000 })

await app.register(fastifyBitrix24, { ...settings, delivery: { worker: WORKER !== 'no' } })
addHandlers(app)
if (HOST === '127.0.0.1') await app.register(livePage)
if (REDIS_URL !== undefined && BOARD_PASSWORD !== undefined) await app.register(showBoard, { redis: REDIS_URL, password: BOARD_PASSWORD, clientId: settings.clientId! })

if (process.argv.includes('--once')) {
  const heard = new Set<string>()
  app.bitrix24.onAny((event, { portal }) => {
    if (event.name !== 'onAppInstall') heard.add(portal.memberId)
    if (heard.size >= (simulation?.portals ?? 1)) setImmediate(stop)
  })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)

await app.listen({ port: Number(PORT), host: HOST })
console.log(`The app listens at ${app.listeningOrigin}`)
if (HOST === '127.0.0.1') console.log('Open it in a browser to see portals and events')

if (simulation !== undefined) {
  console.log('Three simulated portals install the app and work. Set B24_CLIENT_ID to wait for real ones.')
  await simulation.start(`${app.listeningOrigin}/bitrix24`)
} else {
  const origin = PUBLIC_URL ?? '<public address of this server>'
  console.log(`Put into your app in Bitrix24:
  Your handler path:          ${origin}/bitrix24/events
  Initial installation path:  ${origin}/bitrix24/install`)
}

async function stop (): Promise<void> {
  await simulation?.stop()
  await app.close()
}
