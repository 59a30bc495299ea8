import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createSimulator, type Simulator } from '../../src/testing/index.ts'
import { buildApp } from '../helpers/app.ts'
import { endSimulator } from '../helpers/end-simulator.ts'
import { forgetApp } from '../helpers/redis-keys.ts'
import { secret } from '../helpers/secrets.ts'
import { STORAGES } from '../helpers/storages.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(120_000)

/** What one address may cause at once, and each second after that. */
const [BURST, PER_SECOND] = [100, 10]
const PORTALS = 20
/** Longest time until an event of a known portal is handled. A question to a silent server ends after 5 s. */
const MAX_DELAY_MS = 1_500

const memberId = () => randomBytes(16).toString('hex')
const from = (ip: string) => ({ 'x-forwarded-for': ip })

/** A server that takes connections and never answers. */
async function startSilentServer (t: Test): Promise<string> {
  const server = createServer(socket => { socket.on('error', () => {}) })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const sockets = new Set<{ destroy: () => void }>()
  server.on('connection', socket => sockets.add(socket))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An app that may ask three OAuth servers: that of the portals, one that refuses all, and one that never answers. */
async function buildFloodedApp (t: Test, options: object) {
  const [clientId, clientSecret] = [`local.${secret().slice(1, 20)}`, secret()]
  const [b24, refusing] = [await createSimulator({ clientId, clientSecret }), await createSimulator({ clientId, clientSecret })]
  for (const simulator of [b24, refusing]) t.teardown(async () => await endSimulator(simulator))
  const silent = await startSilentServer(t)
  forgetApp(t, clientId)
  const oauthServers = [b24.oauthServer, refusing.oauthServer, silent]
  const { app } = await buildApp(t, { clientId, clientSecret, oauthServers, allowPrivateNetworks: true, ...options }, { trustProxy: true })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, b24, refusing, silent, url: `${app.listeningOrigin}/bitrix24` }
}

async function post (url: string, ip: string, fields: object): Promise<number> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...from(ip) }, body: JSON.stringify(fields) })
  await response.arrayBuffer()
  return response.status
}

/** Posts forged installs from the addresses of an IPv6 /48 until it is ended, and counts the answers. */
function flood (url: string, server: string) {
  const answers: Record<number, number> = {}
  const ending = new AbortController()
  let posts = 0
  const sender = async () => {
    while (!ending.signal.aborted) {
      const ip = `2001:db8:77:${(posts++ * 257 % 65536).toString(16)}::1`
      const auth = { member_id: memberId(), application_token: secret(), access_token: secret(), refresh_token: secret(), server_endpoint: `${server}/rest/` }
      const status = await post(`${url}/events`, ip, { event: 'ONAPPINSTALL', data: { VERSION: '1' }, ts: Math.floor(Date.now() / 1000), auth })
      answers[status] = (answers[status] ?? 0) + 1
    }
  }
  const senders = Promise.all(Array.from({ length: 4 }, sender))
  return { answers, end: async () => { ending.abort(); await senders } }
}

async function installAll (b24: Simulator, url: string) {
  const portals = Array.from({ length: PORTALS }, (_, i) => b24.portal(`new${i}.bitrix24.com`))
  const statuses = await Promise.all(portals.map(async (portal, i) => (await portal.install(`${url}/events`, { headers: from(`203.0.113.${i + 1}`) })).statusCode))
  return { portals, statuses }
}

for (const { storage, options } of STORAGES) {
  for (const world of ['silent', 'refusing'] as const) {
    t.test(`forged installs of one /48 that name a ${world} server keep no place from genuine ones, ${storage}`, async t => {
      const { app, b24, refusing, silent, url } = await buildFloodedApp(t, options(t))
      const known = b24.portal('known.bitrix24.com')
      await known.install(`${url}/events`, { headers: from('192.0.2.1') })
      await until(async () => await app.bitrix24.portal(known.memberId) !== undefined, 'the known portal is installed')
      const handled = new Map<number, number>()
      app.bitrix24.on('onCrmDealAdd', ({ data }) => { handled.set(Number(data.FIELDS.ID), performance.now()) })
      const flooding = flood(url, world === 'silent' ? silent : refusing.oauthServer)
      await until(() => (flooding.answers[503] ?? 0) > 50, 'the flood is at its height')

      const began = performance.now()
      const { portals, statuses } = await installAll(b24, url)
      t.strictSame(statuses, portals.map(() => 200), 'each genuine first install is taken')
      const delays: number[] = []
      for (let ID = 1; ID <= 10; ID++) {
        const sent = performance.now()
        t.equal((await known.send('onCrmDealAdd', { FIELDS: { ID } }, { headers: from('192.0.2.1') })).statusCode, 200)
        await until(() => handled.has(ID), 'the event of the known portal is handled')
        delays.push(handled.get(ID)! - sent)
        await sleep(50)
      }
      const isActive = async ({ memberId }: { memberId: string }) => (await app.bitrix24.portal(memberId))?.state === 'active'
      await until(async () => (await Promise.all(portals.map(isActive))).every(Boolean), 'each genuine install is confirmed', 60_000)
      const tookMs = Math.round(performance.now() - began)
      await flooding.end()
      t.comment(`all confirmed after ${tookMs} ms; events of the known portal within ${Math.round(Math.max(...delays))} ms; flood ${JSON.stringify(flooding.answers)}`)
      t.ok(Math.max(...delays) < MAX_DELAY_MS, `events of the known portal after ${delays.map(Math.round).join(' ')} ms`)
      t.ok(tookMs < 30_000, `${tookMs} ms`)
      t.match(await app.bitrix24.health(), { queue: { dead: 0 } }, 'nothing was given up')
    })
  }
}

t.test('page requests of one address are limited in their OAuth queries, and a rejection is cached', async t => {
  const { b24, url } = await buildFloodedApp(t, STORAGES[0]!.options(t))
  const page = () => ({ member_id: memberId(), AUTH_ID: secret(), REFRESH_ID: secret(), DOMAIN: 'acme.bitrix24.com' })
  const began = performance.now()
  const statuses: number[] = []
  await Promise.all(Array.from({ length: 20 }, async () => {
    for (let i = 0; i < 25; i++) statuses.push(await post(`${url}/install`, '192.0.2.1', page()))
  }))
  const most = BURST + Math.ceil(PER_SECOND * (performance.now() - began) / 1000)
  const asked = b24.requests.length
  t.comment(`${asked} questions for ${statuses.length} posts`)
  t.ok(asked >= BURST && asked <= most, `${asked} of ${most} at most`)
  t.equal(statuses.filter(status => status === 503).length, statuses.length - asked)
  const genuine = b24.portal('acme.bitrix24.com')
  t.equal((await genuine.install(`${url}/events`, { headers: from('203.0.113.1') })).statusCode, 200, 'others install')

  const [repeated, before] = [page(), b24.requests.length]
  for (let i = 0; i < 5; i++) t.equal(await post(`${url}/install`, '198.51.100.1', repeated), 403)
  t.equal(b24.requests.slice(before).filter(({ path, memberId }) => path.includes('app.info') && memberId === undefined).length, 1)
})
