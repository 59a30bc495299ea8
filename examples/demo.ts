// The demo of `npm start`: the handlers of handlers.ts beside a simulated Bitrix24 with three portals at work, and a live page.
// An app to start from is server.ts.
//
//   PORT            where the app listens, 3000; 0 takes any, but then the portals do not know where to post what changes
//   SIMULATOR_PORT  where the simulated Bitrix24 listens, 3024
//   REDIS_URL       keeps installs and events in Redis; without it, in ./.bitrix24
//   WORKER=no       only receives; worker.ts handles (needs REDIS_URL)
//   LOG_LEVEL       warn; info shows why a post was refused
//   --once          ends when a change at each portal was handled
//
// A receiver and two workers:
//
//   REDIS_URL=redis://127.0.0.1 WORKER=no npm start
//   REDIS_URL=redis://127.0.0.1 npx tsx examples/worker.ts    (in two other terminals)
//
// With an app of your own, and real portals:
//
//   B24_CLIENT_ID, B24_CLIENT_SECRET       its keys: nothing is simulated then
//   B24_MEMBER_ID, B24_APPLICATION_TOKEN   an outgoing webhook of one portal
//   PUBLIC_URL      where Bitrix24 reaches this server: portals are subscribed to that address
//   HOST            127.0.0.1 behind a tunnel or a proxy
//   LIVE_PAGE=yes   shows the live page at / of 127.0.0.1, which has no password: who reaches this server may see all portals
import Fastify from 'fastify'
import fastifyBitrix24 from 'fastify-bitrix24'
import { addHandlers } from './handlers.ts'
import { livePage } from './live-page.ts'
import { isSimulated, port, settings, stopIfTaken } from './settings.ts'
import { simulateBitrix24 } from './simulated-portals.ts'

const { LIVE_PAGE, PUBLIC_URL, WORKER, HOST = isSimulated ? '127.0.0.1' : '0.0.0.0', LOG_LEVEL = 'warn' } = process.env
// A proxy may hide that somebody comes from elsewhere: on by itself only where nothing is real.
const hasLivePage = HOST === '127.0.0.1' && (isSimulated || LIVE_PAGE === 'yes')

const simulation = isSimulated ? await simulateBitrix24() : undefined
const app = Fastify({ logger: { level: LOG_LEVEL }, forceCloseConnections: true, requestTimeout: 30_000 })

await app.register(fastifyBitrix24, { ...settings, delivery: { worker: WORKER !== 'no' } })
addHandlers(app)
if (hasLivePage) await app.register(livePage)

if (process.argv.includes('--once')) {
  const heard = new Set<string>()
  app.bitrix24.onAny((event, { portal }) => {
    if (/^onCrm\w+Update$/.test(event.name)) heard.add(portal.memberId)
    if (heard.size >= (simulation?.portals ?? 1)) setImmediate(stop)
  })
}
let stopping: Promise<void> | undefined
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)

await app.listen({ port, host: HOST }).catch(stopIfTaken('PORT', port))
console.log(`The app listens at ${app.listeningOrigin}`)
if (hasLivePage) console.log('Open it in a browser to see portals and events')

if (simulation !== undefined) {
  console.log('Three simulated portals install the app and work. Set B24_CLIENT_ID to wait for real ones.')
  await simulation.start(`${app.listeningOrigin}/bitrix24`)
} else {
  const origin = PUBLIC_URL ?? '<public address of this server>'
  console.log(`Put into your app in Bitrix24:
  Your handler path:          ${origin}/bitrix24/events
  Initial installation path:  ${origin}/bitrix24/install`)
}

/** However often it is asked to. */
function stop (): Promise<void> {
  stopping ??= close()
  return stopping
}

async function close (): Promise<void> {
  await simulation?.stop(app.bitrix24)
  await app.close()
  await simulation?.close()
}
