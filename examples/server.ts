// A host app to start from. Without B24_CLIENT_ID it brings its own Bitrix24: a simulator with three portals at work.
//
//   B24_CLIENT_ID, B24_CLIENT_SECRET   the keys of your app: it then waits for real portals
//   B24_MEMBER_ID, B24_APPLICATION_TOKEN   an outgoing webhook of one portal
//   PUBLIC_URL   where Bitrix24 reaches this server     PORT   default 3000
//   REDIS_URL    keeps installs in Redis; without it, in ./.bitrix24     LOG_LEVEL   info shows why a post was refused
//   --once       ends when one event of each portal was handled
import Fastify from 'fastify'
import fastifyBitrix24, { EntityType } from 'fastify-bitrix24'
import { simulateBitrix24 } from './simulated-portals.ts'

const { B24_CLIENT_ID, B24_CLIENT_SECRET, B24_MEMBER_ID, B24_APPLICATION_TOKEN, PUBLIC_URL, REDIS_URL, PORT = '3000', LOG_LEVEL = 'warn' } = process.env

const simulation = B24_CLIENT_ID === undefined ? await simulateBitrix24() : undefined
const app = Fastify({ logger: { level: LOG_LEVEL }, requestTimeout: 30_000 })

await app.register(fastifyBitrix24, {
  clientId: B24_CLIENT_ID,
  clientSecret: B24_CLIENT_SECRET,
  redis: REDIS_URL,
  webhooks: B24_MEMBER_ID !== undefined && B24_APPLICATION_TOKEN !== undefined
    ? [{ memberId: B24_MEMBER_ID, applicationToken: B24_APPLICATION_TOKEN }]
    : [],
  ...simulation?.options
})

app.bitrix24.addHook('onInstall', ({ portal, reinstall }) => {
  console.log(`${portal.domain}  ${reinstall ? 're' : ''}installed the app, may use: ${portal.scope.join(', ')}`)
})

app.bitrix24.addHook('onUninstall', ({ portal, clean }) => {
  console.log(`${portal.domain}  removed the app${clean ? ' and wants its data deleted' : ''}`)
})

app.bitrix24.on(['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate', 'onCrmDynamicItemDelete'], (event, { portal }) => {
  const { ID, ENTITY_TYPE_ID } = event.data.FIELDS
  console.log(`${portal.domain}  ${event.name}`, { ID, ENTITY_TYPE_ID })
})

// Only one type of item: new invoices.
app.bitrix24.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: EntityType.SmartInvoice }, (event, { portal }) => {
  console.log(`${portal.domain}  a new invoice: ${event.data.FIELDS.ID}`)
})

app.bitrix24.on(['onCrmDealAdd', 'onCrmDealUpdate'], (event, { portal }) => {
  console.log(`${portal.domain}  ${event.name}`, { ID: event.data.FIELDS.ID })
})

if (process.argv.includes('--once')) {
  const heard = new Set<string>()
  app.bitrix24.onAny((event, { portal }) => {
    if (event.name !== 'onAppInstall') heard.add(portal.memberId)
    if (heard.size >= (simulation?.portals ?? 1)) setImmediate(stop)
  })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)

await app.listen({ port: Number(PORT), host: simulation === undefined ? '0.0.0.0' : '127.0.0.1' })
console.log(`The app listens at ${app.listeningOrigin}`)

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
