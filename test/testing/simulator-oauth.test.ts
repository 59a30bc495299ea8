import t, { type Test } from 'tap'
import type { SimulatedPortal } from '../../src/testing/portal/portal.ts'
import { createSimulator, type Simulator } from '../../src/testing/simulator.ts'
import { remember, secret } from '../helpers/secrets.ts'

interface Answer {
  status: number
  body: Record<string, unknown>
}

interface World {
  b24: Simulator
  portal: SimulatedPortal
  clientSecret: string
  ask (path: string, fields?: Record<string, string>): Promise<Answer>
  refresh (fields: Record<string, string>): Promise<Answer>
}

const CLIENT_ID = 'local.ours'

async function buildWorld (t: Test): Promise<World> {
  const clientSecret = secret()
  const b24 = await createSimulator({ clientId: CLIENT_ID, clientSecret })
  t.teardown(async () => {
    b24.secrets().forEach(remember)
    await b24.close()
  })
  const ask = async (path: string, fields?: Record<string, string>) => {
    const init = fields === undefined ? {} : { method: 'POST', body: new URLSearchParams(fields) }
    const response = await fetch(`${b24.oauthServer}${path}`, init)
    return { status: response.status, body: await response.json() as Record<string, unknown> }
  }
  const refresh = async (fields: Record<string, string>) => await ask('/oauth/token/', {
    grant_type: 'refresh_token', client_id: CLIENT_ID, client_secret: clientSecret, ...fields
  })
  return { b24, portal: b24.portal('acme.bitrix24.com'), clientSecret, ask, refresh }
}

t.test('says whom an access token belongs to', async t => {
  const { b24, portal, ask } = await buildWorld(t)
  const { accessToken, expiresAt } = portal.issue({ userId: 7 })
  const expected = {
    status: 200,
    body: {
      result: {
        client_id: CLIENT_ID,
        scope: 'crm,task,user',
        expires: new Date(expiresAt).toISOString(),
        install: {
          installed: true,
          version: 1,
          status: 'F',
          domain: 'acme.bitrix24.com',
          uri: b24.oauthServer,
          client_endpoint: `${b24.oauthServer}/portals/acme.bitrix24.com/rest/`,
          member_id: portal.memberId
        },
        user_id: 7
      }
    }
  }
  t.match(await ask('/rest/app.info/', { auth: accessToken }), expected)
  t.match(await ask('/rest/app.info', { auth: accessToken }), expected)
  t.match(await ask(`/rest/app.info/?auth=${accessToken}`), expected)
  const { memberId } = portal
  t.strictSame(b24.requests, [
    { method: 'POST', path: '/rest/app.info/', inBody: ['auth'], inUrl: [], memberId },
    { method: 'POST', path: '/rest/app.info', inBody: ['auth'], inUrl: [], memberId },
    { method: 'GET', path: '/rest/app.info/', inBody: [], inUrl: ['auth'], memberId }
  ])
})

t.test('trades a refresh token once, and the old pair dies', async t => {
  const { b24, portal, ask, refresh } = await buildWorld(t)
  const old = portal.issue({ userId: 7 })
  const other = portal.issue({ userId: 7 })
  const { status, body } = await refresh({ refresh_token: old.refreshToken })
  t.equal(status, 200)
  t.match(body, {
    access_token: /^[0-9a-f]{70}$/,
    refresh_token: /^[0-9a-f]{70}$/,
    expires: Number,
    expires_in: 3600,
    client_endpoint: `${b24.oauthServer}/portals/acme.bitrix24.com/rest/`,
    server_endpoint: `${b24.oauthServer}/rest/`,
    domain: new URL(b24.oauthServer).host,
    member_id: portal.memberId,
    scope: 'crm,task,user',
    status: 'F',
    user_id: 7
  })
  t.match(await refresh({ refresh_token: old.refreshToken }), { status: 400, body: { error: 'invalid_grant' } })
  t.match(await ask('/rest/app.info/', { auth: old.accessToken }), { status: 400, body: { error: 'invalid_client' } })
  t.match(await ask('/rest/app.info/', { auth: body['access_token'] as string }), { status: 200 })
  t.match(await ask('/rest/app.info/', { auth: other.accessToken }), { status: 200 }, 'another pair of the user lives on')
  t.equal(b24.requests[0]?.grantType, 'refresh_token')
  t.ok(b24.secrets().includes(body['refresh_token'] as string))
})

t.test('refuses as Bitrix24 documents it', async t => {
  const { b24, portal, ask, refresh } = await buildWorld(t)
  const { accessToken, refreshToken } = portal.issue()
  const theirs = { clientId: 'local.theirs', clientSecret: secret() }
  b24.app(theirs)
  const foreign = portal.issue({ clientId: theirs.clientId })
  const expired = portal.issue()
  expired.expiresAt = 0
  const info = async (auth: string) => await ask('/rest/app.info/', { auth })
  const cases: Array<[number, string, () => Promise<Answer>]> = [
    [401, 'NO_AUTH_FOUND', async () => await ask('/rest/app.info/')],
    [401, 'NO_AUTH_FOUND', async () => await info('x')],
    [400, 'invalid_client', async () => await info('ab'.repeat(35))],
    [401, 'expired_token', async () => await info(expired.accessToken)],
    [200, 'wrong_client', async () => await refresh({ client_id: 'local.unknown' })],
    [200, 'wrong_client', async () => await ask('/oauth/token/', { grant_type: 'refresh_token' })],
    [400, 'invalid_client', async () => await refresh({ client_secret: secret() })],
    [400, 'invalid_request', async () => await refresh({})],
    [400, 'invalid_request', async () => await refresh({ grant_type: 'password' })],
    [400, 'invalid_grant', async () => await refresh({ refresh_token: 'x' })],
    [400, 'invalid_grant', async () => await refresh({ refresh_token: foreign.refreshToken })]
  ]
  for (const [status, error, run] of cases) t.match(await run(), { status, body: { error, error_description: String } }, error)

  const states: Array<[number, string, () => void]> = [
    [401, 'PAYMENT_REQUIRED', () => { portal.paid = false }],
    [401, 'NOT_INSTALLED', () => { portal.removedApps.add(CLIENT_ID) }],
    [410, 'PORTAL_DELETED', () => { portal.deleted = true }]
  ]
  for (const [status, error, change] of states) {
    change()
    t.match(await info(accessToken), { status, body: { error } }, error)
    t.match(await refresh({ refresh_token: refreshToken }), { status, body: { error } }, `${error}, at the token endpoint`)
  }
})

t.test('ends the hour of the tokens of one portal', async t => {
  const { b24, portal, ask, refresh } = await buildWorld(t)
  const pair = portal.issue()
  const neighbour = b24.portal('neighbour.bitrix24.com').issue()
  portal.expireTokens()
  t.match(await ask('/rest/app.info/', { auth: pair.accessToken }), { body: { error: 'expired_token' } })
  t.match(await ask('/rest/app.info/', { auth: neighbour.accessToken }), { status: 200 })
  t.match(await refresh({ refresh_token: pair.refreshToken }), { status: 200 })
})

t.test('misbehaves on request, in the order of the requests, until it is lifted', async t => {
  const { b24, portal, ask } = await buildWorld(t)
  const { accessToken } = portal.issue()
  const info = async () => await ask('/rest/app.info/', { auth: accessToken })
  b24.fault('token', { status: 500, body: {} })
  b24.fault('app.info', { status: 500, body: {}, times: 1 })
  b24.fault('app.info', { body: { error: 'wrong_client' }, times: 2 })
  const lift = b24.fault('app.info', { delayMs: 20 })
  t.equal((await info()).status, 500)
  t.match(await info(), { status: 200, body: { error: 'wrong_client' } })
  t.match(await info(), { status: 200, body: { error: 'wrong_client' } })
  const start = performance.now()
  t.match(await info(), { status: 200, body: { result: { client_id: CLIENT_ID } } })
  t.ok(performance.now() - start > 15, 'late but right')
  lift()
  b24.fault('app.info', { status: 302, headers: { location: 'http://127.0.0.1:1/' } })
  const redirect = await fetch(`${b24.oauthServer}/rest/app.info/`, { redirect: 'manual' })
  t.equal(redirect.status, 302)
  t.equal(redirect.headers.get('location'), 'http://127.0.0.1:1/')
  b24.clearFaults()
  t.equal((await info()).status, 200)
  b24.fault('app.info', { hang: true })
  await t.rejects(fetch(`${b24.oauthServer}/rest/app.info/`, { signal: AbortSignal.timeout(30) }), { name: 'TimeoutError' })
})

t.test('late before it has worked, it trades no token of who has hung up; late after, it has', async t => {
  const { b24, portal, clientSecret } = await buildWorld(t)
  const trade = async (refreshToken: string) => await fetch(`${b24.oauthServer}/oauth/token/`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID, client_secret: clientSecret, refresh_token: refreshToken }),
    signal: AbortSignal.timeout(40)
  })
  const kept = portal.issue()
  const lift = b24.fault('token', { delayMs: 100 })
  await t.rejects(trade(kept.refreshToken), { name: 'TimeoutError' })
  await new Promise(resolve => setTimeout(resolve, 150))
  t.ok(kept.alive)
  lift()
  const lost = portal.issue()
  b24.fault('token', { answerDelayMs: 100 })
  await t.rejects(trade(lost.refreshToken), { name: 'TimeoutError' })
  t.notOk(lost.alive, 'the pair is dead, and the new one nobody has')
})

t.test('closes with requests still hanging, and as a disposable', async t => {
  const b24 = await createSimulator({ clientId: CLIENT_ID, clientSecret: secret() })
  b24.fault('app.info', { hang: true })
  const hanging = fetch(`${b24.oauthServer}/rest/app.info/`)
  const broken = t.rejects(hanging)
  while (b24.requests.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  await b24[Symbol.asyncDispose]()
  await broken
  await t.rejects(fetch(b24.oauthServer), 'listens no more')

  const { port } = new URL(b24.oauthServer)
  const again = await createSimulator({ clientId: CLIENT_ID, clientSecret: secret(), port: Number(port) })
  t.equal(again.oauthServer, b24.oauthServer, 'listens where it is told to')
  await again.close()
})
