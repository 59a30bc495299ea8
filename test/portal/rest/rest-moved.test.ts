import { once } from 'node:events'
import { createServer } from 'node:http'
import t from 'tap'
import { printed } from '../../helpers/leaks.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'
import { until } from '../../helpers/until.ts'

const DOMAIN = 'acme.bitrix24.com'
const RENAMED = 'renamed.bitrix24.com'

t.test('follows a renamed portal to the address from the OAuth server, repeating the POST', async t => {
  const { b24, rest, another, install, reported } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  portal.items.set(2, 5, { title: 'A deal' })
  await install(portal)
  const held = await rest.client(portal.memberId)
  const before = portal.clientEndpoint
  portal.rename(RENAMED)
  const params = { entityTypeId: 2, id: 5 }
  t.match(await rest.call(portal.memberId, 'crm.item.get', params), { item: { title: 'A deal' } })
  t.strictSame(portal.calls.map(({ status, inBody }) => [status, inBody]), [[302, ['entityTypeId', 'id', 'auth']], [200, ['entityTypeId', 'id', 'auth']]])
  await until(() => reported.length > 0, 'the rename is told')
  t.strictSame(reported, [`renamed ${portal.memberId}`])
  t.equal(b24.requests.filter(({ path }) => path.includes('token')).length, 0, 'no token was spent on it')
  portal.calls.length = 0
  await rest.call(portal.memberId, 'profile')
  await another().call(portal.memberId, 'profile')
  t.match((await held.actions.v2.call.make({ method: 'profile' })).getData()?.result, { ID: '1' }, 'a client from before works too')
  t.strictSame(portal.calls.map(({ status }) => status), [200, 200, 200])
  const client = await rest.client(portal.memberId)
  t.not(client, held)
  t.equal(client.getTargetOrigin(), portal.clientEndpoint.replace('/rest/', ''))
  t.not(portal.clientEndpoint, before)
})

t.test('refreshes and calls succeed while a portal is being renamed', async t => {
  const { b24, another, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const processes = Array.from({ length: 3 }, () => another())
  for (const rest of processes) await rest.call(portal.memberId, 'profile')
  portal.expireTokens()
  portal.rename(RENAMED)
  const calls = processes.flatMap(rest => Array.from({ length: 10 }, async () => await rest.call(portal.memberId, 'profile')))
  t.equal((await Promise.all(calls)).length, 30)
  t.equal(b24.requests.filter(({ path }) => path.includes('token')).length, 1)
})

t.test('follows a portal renamed during a refresh, with one notification', async t => {
  const { b24, tokens, rest, another, install, reported } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  portal.items.set(2, 5, { title: 'A deal' })
  const { memberId } = portal
  await install(portal)
  portal.expireTokens()
  // The server still returns the address from before the rename.
  b24.fault('token', { answerDelayMs: 300, times: 1 })
  const calls = [rest, another(), another()].map(async each => await each.call(memberId, 'crm.item.get', { entityTypeId: 2, id: 5 }))
  await until(() => b24.requests.some(({ path }) => path.includes('token')), 'it is asked')
  portal.rename(RENAMED)
  for (const answer of await Promise.all(calls)) t.match(answer, { item: { title: 'A deal' } })
  t.match(await tokens.access(memberId), { domain: RENAMED, clientEndpoint: portal.clientEndpoint })
  t.equal(b24.requests.filter(({ path }) => path.includes('token')).length, 1, 'one refresh')
  await until(() => reported.length > 0, 'the rename is told')
  t.strictSame(reported, [`renamed ${memberId}`])
})

t.test('a call with an expired token finds a portal that moved after the last refresh', async t => {
  const { b24, tokens, rest, another, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const expired = await tokens.access(portal.memberId)
  await another().call(portal.memberId, 'profile')
  portal.expireTokens()
  await another().call(portal.memberId, 'profile')
  portal.rename(RENAMED)
  // A call that started with the previous token and address.
  tokens.access = async () => expired
  t.match(await rest.call(portal.memberId, 'profile'), { ID: '1' })
  t.equal(b24.requests.filter(({ path }) => path.includes('token')).length, 1, 'no other refresh')
})

t.test('the state from the OAuth server applies during a rename too', async t => {
  const table: Array<[error: string, code: string, reported: string[]]> = [
    ['invalid_grant', 'FST_B24_REAUTH_REQUIRED', ['reauth']],
    ['PAYMENT_REQUIRED', 'FST_B24_PORTAL_SUSPENDED', ['suspended']],
    ['NOT_INSTALLED', 'FST_B24_PORTAL_GONE', ['suspended']],
    ['wrong_client', 'FST_B24_APP_KEYS', []],
    ['a_word_of_tomorrow', 'FST_B24_OAUTH_UNAVAILABLE', []]
  ]
  for (const [error, code, listener] of table) {
    const { b24, rest, install, reported } = await openRestStage(t)
    const portal = b24.portal(DOMAIN)
    await install(portal)
    portal.expireTokens()
    portal.rename(RENAMED)
    const lift = b24.fault('token', { status: 400, body: { error } })
    await t.rejects(rest.call(portal.memberId, 'profile'), { code }, error)
    if (listener.length > 0) await until(() => reported.length > 0, 'it is reported')
    t.strictSame(reported, listener.map(what => `${what} ${portal.memberId}`), error)
    lift()
    await install(portal)
    t.match(await rest.call(portal.memberId, 'profile'), { ID: '1' }, `${error}: and is over`)
  }
})

t.test('ignores redirects to other addresses', async t => {
  let requests = 0
  const other = createServer((_request, response) => {
    requests++
    response.end('{"result":true}')
  })
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const { b24, rest, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  for (const status of [301, 302, 303, 307, 308]) {
    portal.fault('profile', { status, headers: { location: `http://127.0.0.1:${port}/rest/profile?evil` }, times: 1 })
    const error = await rest.call(portal.memberId, 'profile').catch((error: unknown) => error)
    t.match(error, { code: 'FST_B24_PORTAL_UNAVAILABLE', statusCode: 503 }, `${status}`)
    t.notOk(printed(error).includes('evil'))
  }
  t.equal(requests, 0)
  t.equal(portal.calls.length, 5)
})

t.test('a portal that redirects from its new address too is unavailable', async t => {
  const { b24, rest, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  portal.rename(RENAMED)
  portal.fault('profile', { status: 302, headers: { location: 'https://elsewhere.example.com/' } })
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /does not confirm/ })
  t.equal(portal.calls.length, 2)
})
