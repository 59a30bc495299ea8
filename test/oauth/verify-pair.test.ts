import { getEventListeners } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { Agent } from 'undici'
import { FST_B24_OAUTH_UNAVAILABLE } from '../../src/errors.ts'
import { AppCredentials } from '../../src/oauth/app-credentials.ts'
import { fetchAppInfo, chooseServer, GENUINE_OAUTH_SERVERS, refreshGrant } from '../../src/oauth/oauth-server.ts'
import { classifyError } from '../../src/oauth/response.ts'
import { postForm } from '../../src/oauth/request.ts'
import { type UnverifiedPair, type PairRejectReason, verifyPair, type VerifyOptions } from '../../src/oauth/verify-pair.ts'
import type { Fault, FaultPoint } from '../../src/testing/faults.ts'
import type { SimulatedPortal } from '../../src/testing/portal/portal.ts'
import { createSimulator, type Simulator } from '../../src/testing/simulator.ts'
import type { SimulatedPair } from '../../src/testing/tokens.ts'
import { endSimulator } from '../helpers/end-simulator.ts'
import { secret } from '../helpers/secrets.ts'

interface World {
  b24: Simulator
  portal: SimulatedPortal
  pair: SimulatedPair
  options: VerifyOptions
  claim (changes?: Partial<UnverifiedPair>): UnverifiedPair
}

const CLIENT_ID = 'local.ours'

async function buildWorld (t: Test): Promise<World> {
  const clientSecret = secret()
  const b24 = await createSimulator({ clientId: CLIENT_ID, clientSecret })
  t.teardown(() => endSimulator(b24))
  const portal = b24.portal('acme.bitrix24.com')
  const pair = portal.issue()
  const keys = new AppCredentials({ clientId: CLIENT_ID, clientSecret, log: { error: () => {} } })
  const options = { allowedServers: [b24.oauthServer], clientId: CLIENT_ID, clientSecret, keys, timeoutMs: 2000 }
  const claim = (changes: Partial<UnverifiedPair> = {}): UnverifiedPair => ({
    memberId: portal.memberId,
    accessToken: pair.accessToken,
    refreshToken: pair.refreshToken,
    serverEndpoint: `${b24.oauthServer}/rest/`,
    userId: '1',
    ...changes
  })
  return { b24, portal, pair, options, claim }
}

/** Runs work that must fail temporarily, and checks every representation of the error for secrets. */
async function rejectsUnavailable (t: Test, b24: Simulator, run: () => Promise<unknown>, reason?: string): Promise<void> {
  const error = await run().then(() => undefined, (error: unknown) => error)
  t.ok(error instanceof FST_B24_OAUTH_UNAVAILABLE, 'is unavailable')
  const { statusCode, cause } = error as InstanceType<typeof FST_B24_OAUTH_UNAVAILABLE> & { cause: Error }
  t.equal(statusCode, 503)
  if (reason !== undefined) t.equal(cause.message, reason)
  const faces = [inspect(error, { depth: 10, showHidden: true }), JSON.stringify(error), JSON.stringify(cause), String(error), String(cause.stack)].join()
  t.notOk(b24.secrets().some(value => faces.includes(value)), 'holds no secret')
}

const [TECH, INFO] = GENUINE_OAUTH_SERVERS as [string, string]

t.test('chooses an OAuth server', async t => {
  t.strictSame(GENUINE_OAUTH_SERVERS, ['https://oauth.bitrix24.tech', 'https://oauth.bitrix.info'])
  const cases: Array<[string, unknown, string | undefined]> = [
    ['the one that is named', 'https://oauth.bitrix.info/rest/', INFO],
    ['the one that is named without a path', 'https://oauth.bitrix24.tech', TECH],
    ['the first when none is named', undefined, TECH],
    ['the first when the name is empty', '', TECH],
    ['none for another host', 'https://oauth.evil.example/rest/', undefined],
    ['none for a host that begins alike', 'https://oauth.bitrix.info.evil.example/rest/', undefined],
    ['none for a host behind userinfo', 'https://oauth.bitrix.info@evil.example/rest/', undefined],
    ['none for userinfo before the host', 'https://user@oauth.bitrix.info/rest/', undefined],
    ['none for a backslash', 'https://oauth.bitrix.info\\@evil.example/rest/', undefined],
    ['none for another port', 'https://oauth.bitrix.info:8443/rest/', undefined],
    ['none for another scheme', 'http://oauth.bitrix.info/rest/', undefined],
    ['none for a trailing dot', 'https://oauth.bitrix.info./rest/', undefined],
    ['none for look-alike letters', 'https://oauth.b\u0456trix.info/rest/', undefined],
    ['none for a look-alike dot', 'https://oauth\u3002bitrix.info/rest/', undefined],
    ['none for a leading space', ' https://oauth.bitrix.info/rest/', undefined],
    ['none for a list', ['https://oauth.bitrix.info/rest/'], undefined],
    ['none for null', null, undefined]
  ]
  for (const [name, given, expected] of cases) t.equal(chooseServer(GENUINE_OAUTH_SERVERS, given), expected, name)
})

t.test('classifies errors by code, in any case', async t => {
  const cases = {
    invalid_grant: 'revoked',
    bad_verification_code: 'revoked',
    NO_AUTH_FOUND: 'revoked',
    invalid_token: 'revoked',
    expired_token: 'expired',
    PAYMENT_REQUIRED: 'payment_required',
    payment_required: 'payment_required',
    NOT_INSTALLED: 'uninstalled',
    PORTAL_DELETED: 'uninstalled',
    wrong_client: 'config',
    invalid_client: 'config',
    invalid_request: 'config',
    invalid_scope: 'config',
    insufficient_scope: 'config',
    unauthorized_client: 'config',
    unsupported_grant_type: 'config',
    QUERY_LIMIT_EXCEEDED: 'network',
    toString: 'network'
  }
  for (const [error, expected] of Object.entries(cases)) t.equal(classifyError(error), expected, error)
})

t.test('verifies a pair and takes the facts from the OAuth server', async t => {
  const { b24, portal, pair, options, claim } = await buildWorld(t)
  t.strictSame(await verifyPair(claim(), options), {
    status: 'verified',
    grant: {
      domain: 'acme.bitrix24.com',
      clientEndpoint: portal.clientEndpoint,
      oauthServer: b24.oauthServer,
      scope: ['crm', 'task', 'user'],
      status: portal.status,
      version: '1',
      userId: 1,
      installed: true,
      pair: { accessToken: pair.accessToken, refreshToken: pair.refreshToken, expiresAt: pair.expiresAt },
      isRefreshed: false
    }
  })
  t.strictSame(b24.requests, [{ method: 'POST', path: '/rest/app.info/', inBody: ['auth'], inUrl: [], memberId: portal.memberId }])
})

t.test('verifies a pair without a user, and at the first server when none is named', async t => {
  const { options, claim } = await buildWorld(t)
  const { userId: _, serverEndpoint: __, ...bare } = claim()
  t.equal((await verifyPair(bare, options)).status, 'verified')
})

t.test('uses the server\'s address after a rename', async t => {
  const { portal, options, claim } = await buildWorld(t)
  portal.domain = 'acme-new.bitrix24.com'
  t.match(await verifyPair(claim(), options), { grant: { domain: 'acme-new.bitrix24.com', clientEndpoint: /acme-new\.bitrix24\.com\/rest\/$/ } })
})

t.test('rejects a pair', async t => {
  const { b24, portal, pair, options, claim } = await buildWorld(t)
  const other = { clientId: 'local.theirs', clientSecret: secret() }
  b24.app(other)
  const foreign = portal.issue({ clientId: other.clientId })
  const rotated = portal.issue()
  await refreshGrant({ ...options, origin: b24.oauthServer, refreshToken: rotated.refreshToken })
  const late = portal.issue()
  const lateForeign = portal.issue({ clientId: other.clientId })
  const lateUsed = portal.issue()
  const neighbour = b24.portal('neighbour.bitrix24.com')
  const lateNeighbour = neighbour.issue()
  for (const expired of [late, lateForeign, lateUsed, lateNeighbour]) expired.expiresAt = 0
  const pairOf = ({ accessToken, refreshToken }: SimulatedPair) => ({ accessToken, refreshToken })
  const cases: Array<[string, Partial<UnverifiedPair>, PairRejectReason]> = [
    ['of a server that is not allowed', { serverEndpoint: 'https://oauth.evil.example/rest/' }, 'server_not_allowed'],
    ['that is not well formed', { accessToken: 'x' }, 'token_refused'],
    ['that nobody made', { accessToken: 'ab'.repeat(35) }, 'token_refused'],
    ['that was traded for a new one', pairOf(rotated), 'token_refused'],
    ['of another app', pairOf(foreign), 'other_app'],
    ['of another portal', { memberId: neighbour.memberId }, 'other_portal'],
    ['of another user', { userId: '2' }, 'other_user'],
    ['of a user that is no id', { userId: 'root' }, 'other_user'],
    ['that expired, with the refresh token of another app', pairOf(lateForeign), 'token_refused'],
    ['that expired, with a refresh token that was used', { ...pairOf(lateUsed), refreshToken: rotated.refreshToken }, 'token_refused'],
    ['that expired, of another portal', pairOf(lateNeighbour), 'other_portal'],
    ['that expired, of another user', { ...pairOf(late), userId: 7 }, 'other_user']
  ]
  for (const [name, changes, reason] of cases) t.strictSame(await verifyPair(claim(changes), options), { status: 'rejected', reason }, name)
  t.equal((await verifyPair(claim(), options)).status, 'verified', 'and the genuine one passes still')
  t.ok(pair.alive)
  t.notOk(b24.requests.some(({ inUrl }) => inUrl.length > 0), 'nothing stood in a URL')
})

t.test('rejects by the state of the portal', async t => {
  const cases: Array<[PairRejectReason, (portal: SimulatedPortal) => void]> = [
    ['not_installed', portal => portal.removedApps.add(CLIENT_ID)],
    ['not_installed', portal => { portal.deleted = true }],
    ['payment_required', portal => { portal.paid = false }]
  ]
  for (const [reason, change] of cases) {
    const { b24, portal, pair, options, claim } = await buildWorld(t)
    change(portal)
    t.strictSame(await verifyPair(claim(), options), { status: 'rejected', reason }, reason)
    pair.expiresAt = 0
    b24.fault('app.info', { status: 401, body: { error: 'expired_token' } })
    t.strictSame(await verifyPair(claim(), options), { status: 'rejected', reason }, `${reason}, by the refresh token`)
  }
})

t.test('verifies an expired pair by refreshing it, and returns the new one', async t => {
  const { b24, portal, pair, options, claim } = await buildWorld(t)
  portal.expireTokens()
  const verification = await verifyPair(claim(), { ...options, now: () => 1_000 })
  t.match(verification, {
    status: 'verified',
    grant: {
      domain: new URL(portal.clientEndpoint).host,
      clientEndpoint: portal.clientEndpoint,
      oauthServer: b24.oauthServer,
      scope: ['crm', 'task', 'user'],
      status: 'F',
      userId: 1,
      pair: { expiresAt: 3_601_000 }
    }
  })
  if (verification.status !== 'verified') return
  t.notOk(pair.alive, 'the posted pair is dead')
  t.not(verification.grant.pair.refreshToken, pair.refreshToken)
  t.match(await verifyPair(claim(verification.grant.pair), options), { status: 'verified', grant: { installed: true } })
  t.strictSame(b24.requests[1], {
    method: 'POST',
    path: '/oauth/token/',
    inBody: ['grant_type', 'client_id', 'client_secret', 'refresh_token'],
    inUrl: [],
    grantType: 'refresh_token',
    memberId: portal.memberId
  })
})

t.test('handles every documented error, whatever its status and case', async t => {
  type Meaning = PairRejectReason | 'expired' | 'keys'
  // Documented errors of a refresh, and of `app.info` if it can return them.
  const table: Array<[error: string, status: number, refreshed: Meaning, asked?: Meaning]> = [
    ['wrong_client', 200, 'keys'],
    ['invalid_client', 400, 'keys', 'token_refused'],
    ['invalid_client', 401, 'keys', 'token_refused'],
    ['invalid_request', 400, 'keys'],
    ['invalid_grant', 400, 'token_refused'],
    ['bad_verification_code', 400, 'token_refused'],
    ['PAYMENT_REQUIRED', 401, 'payment_required', 'payment_required'],
    ['NOT_INSTALLED', 401, 'not_installed', 'not_installed'],
    ['NO_AUTH_FOUND', 401, 'token_refused', 'token_refused'],
    ['insufficient_scope', 403, 'keys'],
    ['invalid_scope', 403, 'keys'],
    ['PORTAL_DELETED', 410, 'not_installed', 'not_installed'],
    ['expired_token', 401, 'token_refused', 'expired']
  ]
  for (const [error, status, ...meanings] of table) {
    for (const fault of [{ status, body: { error } }, { status: 200, body: { error: error.toLowerCase() } }, { status: 400, body: { error: error.toUpperCase() } }]) {
      for (const [point, meaning] of [['token', meanings[0]], ['app.info', meanings[1]]] as Array<[FaultPoint, Meaning | undefined]>) {
        if (meaning === undefined) continue
        const { b24, portal, options, claim } = await buildWorld(t)
        b24.fault(point, fault)
        if (point === 'token') portal.expireTokens()
        const name = `${point} ${JSON.stringify(fault)}`
        if (meaning === 'keys') await t.rejects(verifyPair(claim(), options), { code: 'FST_B24_APP_KEYS' }, name)
        else if (meaning !== 'expired') t.strictSame(await verifyPair(claim(), options), { status: 'rejected', reason: meaning }, name)
        else {
          t.equal((await verifyPair(claim(), options)).status, 'verified', name)
          t.equal(b24.requests.at(-1)?.grantType, 'refresh_token', `${name}: by a refresh`)
        }
      }
    }
  }
})

t.test('makes no decision with wrong credentials', async t => {
  const { b24, portal, options, claim } = await buildWorld(t)
  portal.expireTokens()
  const wrong = { clientId: CLIENT_ID, clientSecret: secret() }
  const keys = new AppCredentials({ ...wrong, log: { error: () => {} } })
  await t.rejects(verifyPair(claim(), { ...options, ...wrong, keys }), { code: 'FST_B24_APP_KEYS', message: /invalid_client/ })
  b24.fault('token', { body: { error: 'wrong_client' } })
  await t.rejects(verifyPair(claim(), options), { code: 'FST_B24_APP_KEYS', message: /wrong_client/ })
})

t.test('records nothing about a portal that is only claimed', async t => {
  const { b24, portal, options, claim } = await buildWorld(t)
  const keys = new AppCredentials({ clientId: CLIENT_ID, clientSecret: options.clientSecret, log: { error: () => {} } })
  portal.expireTokens()
  for (const error of ['invalid_request', 'invalid_scope', 'unauthorized_client']) {
    b24.fault('token', { times: 1, body: { error } })
    const victim = `${error}.victim`
    await t.rejects(verifyPair(claim({ memberId: victim }), { ...options, keys }), { code: 'FST_B24_APP_KEYS' })
    t.doesNotThrow(() => keys.check(victim), 'its own refreshes go on')
  }
})

t.test('makes no decision when the OAuth server', async t => {
  const { b24, portal, pair, options, claim } = await buildWorld(t)
  const echo = `${pair.accessToken} ${pair.refreshToken}`
  const cases: Array<[string, Fault, string | undefined]> = [
    ['never answers', { hang: true }, 'TimeoutError'],
    ['answers too late', { delayMs: 5000 }, 'TimeoutError'],
    ['fails', { status: 500, body: { error: 'invalid_grant' } }, 'status 500'],
    ['is behind a gateway that fails', { status: 502, body: '<html>' }, 'status 502'],
    ['answers in HTML', { body: `<html>${echo}` }, 'no JSON'],
    ['echoes the tokens', { body: echo }, 'no JSON'],
    ['answers nothing', { status: 204 }, 'no JSON'],
    ['answers a list', { body: [] }, 'no JSON object'],
    ['answers null', { body: 'null' }, 'no JSON object'],
    ['answers too much', { body: ' '.repeat(70_000) }, 'more than 65536 bytes'],
    ['redirects', { status: 302, headers: { location: 'https://evil.example/' } }, 'TypeError'],
    ['states an error that is not known', { status: 400, body: { error: 'OVERLOAD_LIMIT' } }, 'status 400, overload_limit'],
    ['states an error that is not even a word', { body: { error: [echo] } }, 'status 200, an error of another form']
  ]
  for (const point of ['app.info', 'token'] as FaultPoint[]) {
    if (point === 'token') portal.expireTokens()
    for (const [name, fault, reason] of cases) {
      const lift = b24.fault(point, fault)
      t.comment(`${point} ${name}`)
      await rejectsUnavailable(t, b24, () => verifyPair(claim(), { ...options, timeoutMs: 'hang' in fault || 'delayMs' in fault ? 200 : 2000 }), reason)
      lift()
    }
  }
  t.equal((await verifyPair(claim(), options)).status, 'verified', 'and verifies when all is well again')
})

t.test('makes no decision when a response lacks', async t => {
  const { b24, portal, pair, options, claim } = await buildWorld(t)
  const install = { member_id: portal.memberId, client_endpoint: portal.clientEndpoint }
  const result = { client_id: CLIENT_ID, install }
  const endpoints = ['ftp://a.example/rest/', 'https://a.example/', 'https://u:p@a.example/rest/', 'https://a.example/?/rest/', 'https://a.example/#/rest/', 'no', 5]
  const infos: unknown[] = [
    {}, { result: [] }, { result: {} }, { result: { client_id: CLIENT_ID } }, { result: { install } },
    { result: { ...result, client_id: 5 } }, { result: { ...result, install: { ...install, member_id: '' } } },
    ...endpoints.map(endpoint => ({ result: { ...result, install: { ...install, client_endpoint: endpoint } } }))
  ]
  const good = { access_token: 'a', refresh_token: 'r', ...install }
  const pairs = [{ ...good, access_token: null }, { ...good, refresh_token: '' }, { ...good, access_token: 5 }, { ...good, refresh_token: ['r'] }]
  for (const body of infos) {
    const lift = b24.fault('app.info', { body })
    await rejectsUnavailable(t, b24, () => verifyPair(claim(), options))
    lift()
  }
  for (const body of pairs) {
    const lift = b24.fault('token', { body })
    await rejectsUnavailable(t, b24, () => refreshGrant({ ...options, origin: b24.oauthServer, refreshToken: pair.refreshToken }))
    lift()
  }
})

t.test('accepts a minimal response', async t => {
  const { b24, portal, pair, options, claim } = await buildWorld(t)
  const install = { member_id: portal.memberId, client_endpoint: 'http://box.example:8080/rest/', version: '1.0.0' }
  const least = { domain: 'box.example:8080', clientEndpoint: install.client_endpoint, oauthServer: b24.oauthServer }
  const tokens = { accessToken: pair.accessToken, refreshToken: pair.refreshToken }
  b24.fault('app.info', { body: { result: { client_id: CLIENT_ID, install, scope: 'crm,  task user,' } }, times: 1 })
  t.strictSame(await verifyPair(claim(), { ...options, now: () => 5 }), {
    status: 'verified',
    grant: { ...least, scope: ['crm', 'task', 'user'], version: '1.0.0', pair: { ...tokens, expiresAt: 5 }, isRefreshed: false }
  })
  b24.fault('app.info', { body: { result: { client_id: CLIENT_ID, install: { ...install, version: null } } }, times: 1 })
  t.strictSame(await verifyPair(claim(), { ...options, now: () => 5 }), {
    status: 'verified', grant: { ...least, scope: [], pair: { ...tokens, expiresAt: 5 }, isRefreshed: false }
  })
  b24.fault('app.info', { body: { error: 'expired_token' }, times: 1 })
  b24.fault('token', { body: { access_token: 'a', refresh_token: 'r', ...install } })
  t.strictSame(await verifyPair(claim(), { ...options, now: () => 5 }), {
    status: 'verified', grant: { ...least, scope: [], pair: { accessToken: 'a', refreshToken: 'r', expiresAt: 3_600_005 }, isRefreshed: true }
  })
  b24.fault('app.info', { body: { result: { client_id: CLIENT_ID, install } }, times: 1 })
  t.equal((await verifyPair(claim(), options)).status, 'verified', 'by the clock of the machine')
})

t.test('distinguishes a refused refresh from a refused token', async t => {
  const { b24, portal, pair, options } = await buildWorld(t)
  const refresh = async (refreshToken: string) => await refreshGrant({ ...options, origin: b24.oauthServer, refreshToken })
  t.match(await fetchAppInfo(b24.oauthServer, 'ab'.repeat(35)), { errorClass: 'revoked', error: 'invalid_client' })
  t.strictSame(await refresh('none'), { status: 'refused', errorClass: 'revoked', error: 'invalid_grant' })
  t.strictSame(await refresh(''), { status: 'refused', errorClass: 'config', error: 'invalid_request' })
  t.match(await refresh(pair.refreshToken), { status: 'ok', memberId: portal.memberId, domain: new URL(portal.clientEndpoint).host, userId: 1 })
})

t.test('aborts with its signal', async t => {
  const { b24, options, claim } = await buildWorld(t)
  b24.fault('app.info', { hang: true })
  await rejectsUnavailable(t, b24, () => verifyPair(claim(), { ...options, signal: AbortSignal.timeout(50), timeoutMs: undefined }), 'TimeoutError')
  await rejectsUnavailable(t, b24, () => verifyPair(claim(), { ...options, signal: AbortSignal.abort() }), 'AbortError')
})

t.test('leaves no listener on a long-lived signal', async t => {
  const { b24, options, claim } = await buildWorld(t)
  const { signal } = new AbortController()
  const warnings: string[] = []
  const listen = ({ name }: Error) => { warnings.push(name) }
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  const listeners = () => getEventListeners(signal, 'abort').length
  for (let n = 0; n < 20; n++) t.equal((await verifyPair(claim(), { ...options, signal })).status, 'verified')
  t.equal(listeners(), 0)
  b24.fault('app.info', { hang: true })
  const hanging = Array.from({ length: 20 }, () => rejectsUnavailable(t, b24, () => verifyPair(claim(), { ...options, signal, timeoutMs: 200 }), 'TimeoutError'))
  t.equal(listeners(), 20)
  await Promise.all(hanging)
  t.equal(listeners(), 0)
  t.strictSame(warnings, [], 'Node sees no leak either')
})

t.test('makes no decision when the connection', async t => {
  const { b24, claim, options } = await buildWorld(t)
  const closed = await listen(createServer())
  closed.server.close()
  await rejectsUnavailable(t, b24, () => verifyPair(claim({ serverEndpoint: closed.origin }), { ...options, allowedServers: [closed.origin] }), 'ECONNREFUSED')
  const broken = await listen(createServer((_request, response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('{')
    setTimeout(() => response.destroy(), 20)
  }))
  t.teardown(() => broken.server.close())
  await rejectsUnavailable(t, b24, () => postForm(`${broken.origin}/rest/app.info/`, { auth: claim().accessToken }), 'UND_ERR_SOCKET')
})

t.test('uses the given dispatcher', async t => {
  const { origin, server } = await listen(createServer((_request, response) => response.end('{"result":1}')))
  const agent = new Agent()
  t.teardown(async () => { server.close(); await agent.destroy() })
  const dispatcher = agent.compose(dispatch => (given, handler) => dispatch({ ...given, origin }, handler))
  t.match(await postForm('https://oauth.bitrix24.tech/rest/app.info/', { auth: secret() }, { dispatcher }), { status: 200, body: { result: 1 } })
})

async function listen (server: Server): Promise<{ server: Server, origin: string }> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
