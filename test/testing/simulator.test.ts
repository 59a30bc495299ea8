import { gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { burst, createSimulator, outcome, type Simulator } from '../../src/testing/index.ts'
import { remember, secret } from '../helpers/secrets.ts'

interface Post {
  event: string | null
  body: URLSearchParams
  raw: string
  headers: Record<string, unknown>
  port: number | undefined
}

interface World {
  b24: Simulator
  url: string
  posts: Post[]
}

const CLIENT_ID = 'local.ours'

/** A simulator, and an app that keeps what it is sent. */
async function buildWorld (t: Test): Promise<World> {
  const b24 = await createSimulator({ clientId: CLIENT_ID, clientSecret: secret() })
  const posts: Post[] = []
  const app = Fastify({ forceCloseConnections: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, text, done) => done(null, text))
  app.post('/events', async request => {
    const raw = request.body as string
    const body = new URLSearchParams(raw)
    posts.push({ event: body.get('event'), body, raw, headers: request.headers, port: request.socket.remotePort })
    return { status: 'accepted' }
  })
  app.post('/gzip', async (_request, reply) => await reply.header('content-encoding', 'gzip').send(gzipSync('small')))
  app.post('/broken', async (request, reply) => {
    reply.hijack()
    request.raw.socket.destroy()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    b24.secrets().forEach(remember)
    await Promise.all([app.close(), b24.close()])
  })
  return { b24, posts, url: `${app.listeningOrigin}/events` }
}

function last ({ posts }: World): Post {
  const post = posts.at(-1)
  if (post === undefined) throw new Error('nothing was sent')
  return post
}

/** Keys in the order in which they came. */
const keysOf = ({ body }: Post) => [...body.keys()]

const FULL = ['access_token', 'expires', 'expires_in', 'scope', 'domain', 'server_endpoint', 'status', 'client_endpoint', 'member_id', 'user_id']
const MINIMAL = ['domain', 'client_endpoint', 'server_endpoint', 'member_id', 'application_token']
const auth = (names: string[]) => names.map(name => `auth[${name}]`)

t.test('sends ONAPPINSTALL as Bitrix24 does', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  const delivery = await portal.install(world.url)
  t.equal(delivery.statusCode, 200)
  t.strictSame(delivery.json(), { status: 'accepted' })
  const post = last(world)
  t.strictSame(keysOf(post), [
    'event', 'event_handler_id', 'data[VERSION]', 'data[ACTIVE]', 'data[INSTALLED]', 'data[LANGUAGE_ID]', 'ts',
    ...auth([...FULL, 'refresh_token', 'application_token'])
  ])
  t.match(post.headers, {
    'user-agent': 'Bitrix24 Webhook Engine',
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(post.raw.length),
    'accept-encoding': 'gzip',
    connection: 'close'
  })
  t.match(post.raw, /^event=ONAPPINSTALL&event_handler_id=58&data%5BVERSION%5D=1&data%5BACTIVE%5D=Y&.*&auth%5Bscope%5D=crm%2Ctask%2Cuser&/)
  t.match(Object.fromEntries(post.body), {
    'auth[domain]': 'acme.bitrix24.com',
    'auth[server_endpoint]': `${world.b24.oauthServer}/rest/`,
    'auth[client_endpoint]': `${world.b24.oauthServer}/portals/acme.bitrix24.com/rest/`,
    'auth[member_id]': /^[0-9a-f]{32}$/,
    'auth[application_token]': /^[0-9a-f]{32}$/,
    'auth[access_token]': portal.installer?.accessToken,
    'auth[refresh_token]': portal.installer?.refreshToken,
    'auth[user_id]': '1'
  })
  t.equal(Number(post.body.get('auth[expires]')) - 3600, Number(post.body.get('ts')))
})

t.test('sends the other lifecycle events', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.url)
  const { installer } = portal

  await portal.reinstall()
  t.equal(last(world).event, 'ONAPPINSTALL')
  t.not(portal.installer, installer, 'brings a new pair')
  t.ok(installer?.alive, 'and the old one lives on')

  await portal.update({ user: 7, data: { LANGUAGE_ID: 'de' } })
  t.match(Object.fromEntries(last(world).body), {
    event: 'ONAPPUPDATE', 'data[VERSION]': '2', 'data[PREVIOUS_VERSION]': '1', 'data[LANGUAGE_ID]': 'de', 'auth[user_id]': '7', 'auth[refresh_token]': /./
  })

  await portal.userReady({ user: null })
  t.match(Object.fromEntries(last(world).body), {
    event: 'ONAPPUSERREADY',
    'data[access_token]': portal.systemUser?.accessToken,
    'data[refresh_token]': portal.systemUser?.refreshToken,
    'data[domain]': new URL(world.b24.oauthServer).host,
    'data[client_id]': CLIENT_ID,
    'data[user_id]': '1000',
    'auth[access_token]': portal.installer?.accessToken,
    'auth[domain]': new URL(world.b24.oauthServer).host,
    'auth[user_id]': '1'
  })
  await portal.userReady({ auth: null })
  t.notOk(keysOf(last(world)).some(key => key.startsWith('auth')))

  await portal.uninstall({ clean: true })
  t.strictSame(keysOf(last(world)), ['event', 'event_handler_id', 'data[LANGUAGE_ID]', 'data[CLEAN]', 'ts', ...auth(MINIMAL)])
  t.match(Object.fromEntries(last(world).body), { event: 'ONAPPUNINSTALL', 'data[CLEAN]': '1' })
  t.notOk(portal.installer?.alive, 'its tokens are dead')
  await portal.uninstall()
  t.equal(last(world).body.get('data[CLEAN]'), '0')

  await portal.install(world.url)
  t.notOk(installer?.alive, 'and stay dead after an install')
  t.equal(last(world).body.get('auth[application_token]'), portal.applicationToken)
})

t.test('sends events by their name in any case', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  await t.rejects(portal.send('onCrmDealAdd'), { message: /no events URL/ })
  await portal.install(world.url)
  await portal.send('onCrmDynamicItemUpdate', { FIELDS: { ID: 24, ENTITY_TYPE_ID: 1220 } })
  t.strictSame(keysOf(last(world)), ['event', 'event_handler_id', 'data[FIELDS][ID]', 'data[FIELDS][ENTITY_TYPE_ID]', 'ts', ...auth([...FULL, 'application_token'])])
  t.match(Object.fromEntries(last(world).body), { event: 'ONCRMDYNAMICITEMUPDATE', 'data[FIELDS][ID]': '24', event_handler_id: '60' })
  await portal.send('OnOfflineEvent')
  t.strictSame(keysOf(last(world)), ['event', 'event_handler_id', 'ts', ...auth([...FULL, 'refresh_token', 'application_token'])])
  await portal.send('ONCRMDYNAMICITEMUPDATE', { FIELDS: { ID: 24 } }, { user: null })
  t.strictSame(keysOf(last(world)), ['event', 'event_handler_id', 'data[FIELDS][ID]', 'ts', ...auth(MINIMAL)])
  t.equal(last(world).body.get('event_handler_id'), '60', 'the binding keeps its handler id')
  const ports = world.posts.map(({ port }) => port)
  t.equal(new Set(ports).size, ports.length, 'each by a connection of its own')
})

t.test('sends what a test overrides', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  portal.eventsUrl = world.url
  await portal.send('ONTASKADD', undefined, {
    ts: 5,
    handlerId: null,
    data: { A: 1 },
    auth: { member_id: 'other', scope: null },
    fields: { event: 'forged', extra: { deep: 1 } },
    headers: { 'X-Extra': '1', 'User-Agent': 'me' }
  })
  t.match(Object.fromEntries(last(world).body), { event: 'forged', 'extra[deep]': '1', 'data[A]': '1', ts: '5', 'auth[member_id]': 'other' })
  t.notOk(keysOf(last(world)).some(key => key === 'event_handler_id' || key === 'auth[scope]'))
  t.match(last(world).headers, { 'x-extra': '1', 'user-agent': 'me' })
  await portal.send('ONTASKADD', undefined, { auth: null, ts: null })
  t.strictSame(keysOf(last(world)), ['event', 'event_handler_id'])
  await portal.send('ONTASKADD', undefined, { body: '{"event":1}', headers: { 'Content-Type': 'application/json' } })
  t.match(last(world), { raw: '{"event":1}', headers: { 'content-type': 'application/json' } })
  await portal.install('http://127.0.0.1:1/nowhere', { url: world.url })
  t.equal(last(world).event, 'ONAPPINSTALL')
})

t.test('sends late', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  const now = Date.now() / 1000
  const ageOf = ({ body }: Post) => Math.round(now - Number(body.get('ts')))
  await portal.install(world.url, { lateSeconds: 7200 })
  t.ok(Math.abs(ageOf(last(world)) - 7200) < 5)
  t.ok(Number(last(world).body.get('auth[expires]')) < now, 'with a token that has expired')
  await portal.send('ONTASKADD', undefined, { lateSeconds: 60 })
  t.ok(Math.abs(ageOf(last(world)) - 60) < 5)
  await portal.uninstall({ lateSeconds: 60 })
  t.ok(Math.abs(ageOf(last(world)) - 60) < 5)
})

t.test('sends outgoing webhooks with a token of their own', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  const webhook = portal.webhook(world.url)
  t.match(webhook.applicationToken, /^[a-z0-9]{32}$/)
  await webhook.send('onCrmDealAdd', { FIELDS: { ID: 1 } })
  t.strictSame(keysOf(last(world)), ['event', 'event_handler_id', 'data[FIELDS][ID]', 'ts', ...auth(MINIMAL)])
  t.equal(last(world).body.get('auth[application_token]'), webhook.applicationToken)
  const given = secret()
  await portal.webhook('http://127.0.0.1:1/', given).send('ONCRMDEALADD', undefined, { url: world.url })
  t.equal(last(world).body.get('auth[application_token]'), given)
  t.not(world.posts[0]?.body.get('event_handler_id'), last(world).body.get('event_handler_id'))
  t.ok(world.b24.secrets().includes(given))
})

t.test('sends bursts, with copies and out of order', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.url)
  const events = Array.from({ length: 40 }, (_, n) => ({ name: 'ONTASKADD', data: { ID: n } }))
  const before = world.b24.secrets().length
  const deliveries = await portal.sendMany(events, { copies: 2, shuffle: true, concurrency: 8 })
  t.strictSame(deliveries.map(({ statusCode }) => statusCode), Array(80).fill(200))
  const sent = world.posts.slice(1)
  t.equal(new Set(sent.map(({ raw }) => raw)).size, 40, 'copies are the same bytes')
  t.ok(world.b24.secrets().length - before <= 4, 'one token for a second of deliveries')
  await portal.sendMany([{ name: 'ONTASKADD', overrides: { ts: 9 } }])
  t.equal(last(world).body.get('ts'), '9')

  let most = 0
  let running = 0
  const order = async (seed?: number) => await burst(Array(20).keys(), async n => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setImmediate(resolve))
    running--
    return n
  }, { shuffle: true, concurrency: 4, ...(seed !== undefined && { seed }) })
  const first = await order()
  t.notSame(first, [...Array(20).keys()])
  t.strictSame(await order(), first, 'the same seed gives the same order')
  t.notSame(await order(2), first)
  t.equal(most, 4)
  t.strictSame(await burst([1, 2, 3], async n => n * 2), [2, 4, 6])
})

t.test('reports what was answered and never tries again', async t => {
  const world = await buildWorld(t)
  const portal = world.b24.portal('acme.bitrix24.com')
  const { origin } = new URL(world.url)
  t.match(await outcome(portal.install('http://127.0.0.1:1/')), { statusCode: 0, body: '', error: 'ECONNREFUSED', headers: {} })
  t.match(await outcome(portal.install(`${origin}/broken`)), { statusCode: 0, error: 'ECONNRESET' })
  t.match(await portal.install(`${origin}/missing`), { statusCode: 404, headers: { connection: 'close' } })
  t.match(await portal.install(`${origin}/gzip`), { statusCode: 200, body: 'small' })
  t.match(await outcome(portal.install('ftp://127.0.0.1/')), { statusCode: 0, error: 'ERR_INVALID_PROTOCOL' })
  const delivery = await portal.install(world.url)
  t.equal(world.posts.length, 1)
  t.equal((await delivery.repeat()).statusCode, 200)
  t.equal(world.posts[1]?.raw, world.posts[0]?.raw)
})

t.test('keeps its portals by their domain', async t => {
  const { b24 } = await buildWorld(t)
  const portal = b24.portal('acme.bitrix24.com')
  t.equal(b24.portal('acme.bitrix24.com'), portal)
  t.not(b24.portal('other.bitrix24.com').memberId, portal.memberId)
  portal.domain = 'renamed.bitrix24.com'
  t.equal(b24.portal('renamed.bitrix24.com'), portal)
  t.equal(b24.portals().length, 2)
  t.ok(b24.secrets().includes(portal.applicationToken))
  portal.applicationToken = secret()
  t.ok(b24.secrets().includes(portal.applicationToken), 'also one that a test sets')
})
