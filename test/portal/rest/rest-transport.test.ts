import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Agent } from 'undici'
import type { HttpDispatcher } from '../../../src/oauth/request.ts'
import type { Resolve } from '../../../src/portal/rest/address-guard.ts'
import { type RestRequest, withCallTimeout } from '../../../src/portal/rest/rest-transport.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'
import { secret } from '../../helpers/secrets.ts'
import { transportOf } from '../../helpers/transport.ts'

interface Seen { url: string, body: string, headers: IncomingMessage['headers'] }
interface Portal { origin: string, port: number, seen: Seen[] }

/** A portal that returns a result or a redirect. */
async function portalThat (t: Test, location?: (url: string) => string): Promise<Portal> {
  const seen: Seen[] = []
  const server: Server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      seen.push({ url: request.url as string, body, headers: request.headers })
      if (location !== undefined) response.writeHead(301, { location: location(request.url as string) }).end()
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{"result":{"ok":true},"time":{}}')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const { port } = server.address() as AddressInfo
  return { origin: `http://127.0.0.1:${port}`, port, seen }
}

const post = (url: string, more: Partial<RestRequest> = {}): RestRequest => ({
  memberId: 'm', method: 'profile', url, params: { id: 1 }, accessToken: secret(), signal: new AbortController().signal, ...more
})

/** Routes requests for one origin to another, like a proxy. */
function mappedTo (t: Test, origins: Record<string, string>): HttpDispatcher {
  const agent = new Agent()
  t.teardown(() => agent.destroy())
  return agent.compose(dispatch => (options, handler) => dispatch({ ...options, origin: origins[String(options.origin)] ?? 'http://127.0.0.1:1' }, handler))
}

// Neither request timers nor pending lookups keep the process alive.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

const loopback: Resolve = (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }])

t.test('deadline and signal apply while connecting', async t => {
  const transport = transportOf(t, { resolve: () => {} })
  const url = 'https://portal.example.com/rest/profile'
  let isGivenUp = false
  transport.post(post(url)).catch(() => { isGivenUp = true })
  await t.rejects(withCallTimeout({ timeoutMs: 100 }, signal => transport.post(post(url, { signal }))), { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /no response within 100 ms/ })
  const stop = new AbortController()
  const reason = new Error('enough')
  const asked = withCallTimeout({ timeoutMs: 60_000, signal: stop.signal }, signal => transport.post(post(url, { signal })))
  setTimeout(() => stop.abort(reason), 50)
  await t.rejects(asked, reason)
  t.notOk(isGivenUp, 'sooner than the limit of the connection')
})

t.test('connecting has its own timeout', async t => {
  const transport = transportOf(t, { resolve: () => {} })
  await t.rejects(transport.post(post('https://portal.example.com/rest/profile')), { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /UND_ERR_CONNECT_TIMEOUT/ })
})

t.test('sends tokens without https only to allowed private addresses', async t => {
  const { origin, port, seen } = await portalThat(t)
  const named = `http://box.example.ru:${port}/rest/profile`
  const cases: Array<[allowed: boolean | string[], url: string, code: string | undefined]> = [
    [true, `${origin}/rest/profile`, undefined],
    [['127.0.0.0/8'], `${origin}/rest/profile`, undefined],
    [['10.0.0.0/8'], `${origin}/rest/profile`, 'FST_B24_PRIVATE_ADDRESS'],
    [false, `${origin}/rest/profile`, 'FST_B24_PRIVATE_ADDRESS'],
    [true, named, undefined],
    [['127.0.0.0/8'], named, undefined],
    [['10.0.0.0/8'], named, 'FST_B24_PRIVATE_ADDRESS'],
    [false, named, 'FST_B24_PRIVATE_ADDRESS'],
    [true, 'http://169.254.169.254/rest/profile', 'FST_B24_PRIVATE_ADDRESS']
  ]
  for (const [allowPrivateNetworks, url, code] of cases) {
    seen.length = 0
    const asked = post(url)
    const ended = await transportOf(t, { allowPrivateNetworks, resolve: loopback }).post(asked).then(({ status }) => status, (error: Error) => error)
    if (code === undefined) t.equal(ended, 200, `${allowPrivateNetworks} ${url}`)
    else t.match(ended, { code }, `${allowPrivateNetworks} ${url}`)
    t.strictSame(seen.map(({ body }) => body.includes(asked.accessToken)), code === undefined ? [true] : [], url)
  }
})

t.test('sends neither token nor parameters to a public portal without https', async t => {
  const { origin, seen } = await portalThat(t)
  const dispatcher = mappedTo(t, { 'http://box.example.ru': origin })
  for (const allowPrivateNetworks of [false, true]) {
    const transport = transportOf(t, { allowPrivateNetworks, dispatcher })
    await t.rejects(transport.post(post('http://box.example.ru/rest/profile', { headers: { 'idempotency-key': 'a' } })), { code: 'FST_B24_INSECURE_ADDRESS', statusCode: 502 })
  }
  t.match(seen, [{ body: '{}' }, { body: '{}' }])
  t.notOk(seen.some(({ headers }) => 'idempotency-key' in headers))
})

t.test('uses the given dispatcher and does not close it', async t => {
  const { origin, seen } = await portalThat(t)
  const dispatcher = mappedTo(t, { 'https://acme.bitrix24.com': origin })
  const transport = transportOf(t, { allowPrivateNetworks: false, dispatcher })
  t.match(await transport.post(post('https://acme.bitrix24.com/rest/profile')), { status: 200, body: { result: { ok: true } } })
  for (const host of ['10.0.0.1', '[::1]', 'localhost', 'box.lan', 'metadata.google.internal']) {
    await t.rejects(transport.post(post(`https://${host}/rest/profile`)), { code: 'FST_B24_PRIVATE_ADDRESS' }, host)
  }
  await transport.close()
  t.match(await transportOf(t, { dispatcher }).post(post('https://acme.bitrix24.com/rest/profile')), { status: 200 })
  const bare: HttpDispatcher = { dispatch: (dispatcher as { dispatch: HttpDispatcher['dispatch'] }).dispatch.bind(dispatcher) }
  t.match(await transportOf(t, { dispatcher: bare }).post(post('https://acme.bitrix24.com/rest/profile')), { status: 200 }, 'one with nothing but dispatch')
  t.equal(seen.length, 3)
})

t.test('sends the headers of a call, and an array with its token in a header', async t => {
  const { origin, seen } = await portalThat(t)
  const asked = post(`${origin}/rest/api/batch`, { params: [{ method: 'profile' }], headers: { 'idempotency-key': 'event 1', accept: 'text/html' } })
  await transportOf(t).post(asked)
  t.match(seen, [{ body: '[{"method":"profile"}]', headers: { 'idempotency-key': 'event 1', accept: 'application/json', authorization: `Bearer ${asked.accessToken}` } }])
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  for (const params of [circle, { id: 1n }]) await t.rejects(transportOf(t).post(post(origin, { params })), { code: 'FST_B24_INVALID_CALL' })
})

t.test('follows a portal to https without sending a token first, and stores the address', async t => {
  const secure = await portalThat(t)
  const old = await portalThat(t, url => `https://box.example.ru${url}`)
  const dispatcher = mappedTo(t, { 'http://box.example.ru': old.origin, 'https://box.example.ru': secure.origin })
  const { b24, rest, tokens, install } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false, dispatcher }) })
  const portal = b24.portal('acme.bitrix24.com')
  const pair = await install(portal, { clientEndpoint: 'http://box.example.ru/rest/', domain: 'box.example.ru' })
  t.strictSame(await rest.call(portal.memberId, 'crm.item.add', { id: 1 }), { ok: true })
  t.notOk(old.seen.some(({ body }) => body.includes(pair.accessToken)))
  t.ok(secure.seen[0]?.body.includes(pair.accessToken))
  t.match(await tokens.access(portal.memberId), { clientEndpoint: 'https://box.example.ru/rest/' })
  await rest.call(portal.memberId, 'profile')
  t.equal(old.seen.length, 1, 'it is not asked again')
  t.equal(b24.requests.length, 0, 'no OAuth server has to know')
})

t.test('sends no token to another host after a redirect', async t => {
  const other = await portalThat(t)
  const old = await portalThat(t, url => `https://evil.example.ru${url}`)
  const dispatcher = mappedTo(t, { 'https://box.example.ru': old.origin, 'https://evil.example.ru': other.origin })
  const { b24, rest, install } = await openRestStage(t, { transport: transportOf(t, { allowPrivateNetworks: false, dispatcher }) })
  const portal = b24.portal('acme.bitrix24.com')
  await install(portal, { clientEndpoint: 'https://box.example.ru/rest/', domain: 'box.example.ru' })
  // The address from the OAuth server is called instead: the simulator, on loopback.
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PRIVATE_ADDRESS' })
  t.equal(other.seen.length, 0)
})
