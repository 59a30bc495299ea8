import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { Fault, SimulatedPortal } from '../../../src/testing/index.ts'
import { printed } from '../../helpers/leaks.ts'
import { openRestStage, type RestStage } from '../../helpers/rest-stage.ts'

const METHOD = 'crm.item.get'
const PARAMS = { entityTypeId: 2, id: 5 }

const stated = (status: number, error: string, description = ''): Fault => ({ status, body: { error, error_description: description } })

const v3 = (status: number, code: string): Fault => ({ status, body: { error: { code: `BITRIX_REST_V3_EXCEPTION_${code}`, message: 'Why' } } as never })

async function stageOf (t: Parameters<typeof openRestStage>[0]): Promise<RestStage & { portal: SimulatedPortal, refreshes: () => number }> {
  const stage = await openRestStage(t)
  const portal = stage.b24.portal('acme.bitrix24.com')
  portal.items.set(2, 5, { title: 'A deal' })
  await stage.install(portal)
  return { ...stage, portal, refreshes: () => stage.b24.requests.filter(({ path }) => path.includes('token')).length }
}

// Outcome of each fault, with the number of calls and refreshes.
const ROWS: Array<[name: string, faults: Fault[], code: string | undefined, calls: number, refreshes: number]> = [
  ['a token that expired', [stated(401, 'expired_token')], undefined, 2, 1],
  ['one that expired, with another status', [stated(403, 'EXPIRED_TOKEN')], undefined, 2, 1],
  ['one that expired, with status 200', [stated(200, 'expired_token')], undefined, 2, 1],
  ['a token that is not valid', [stated(401, 'invalid_token')], undefined, 2, 1],
  ['a token that the portal does not know', [stated(401, 'NO_AUTH_FOUND')], undefined, 2, 1],
  ['a new token that expired too', [stated(401, 'expired_token'), stated(401, 'expired_token')], 'FST_B24_PORTAL_UNAVAILABLE', 2, 1],
  ['a new token that is not known either', [stated(401, 'NO_AUTH_FOUND'), stated(401, 'NO_AUTH_FOUND')], 'FST_B24_REAUTH_REQUIRED', 2, 1],
  ['a plan without REST', [stated(403, 'ACCESS_DENIED', 'REST API is available only on commercial plans.')], 'FST_B24_PORTAL_SUSPENDED', 1, 0],
  ['a right that the user has not', [stated(403, 'ACCESS_DENIED', 'Access denied!')], 'FST_B24_PORTAL_CALL', 1, 0],
  ['an app that is not there', [stated(401, 'APPLICATION_NOT_FOUND')], 'FST_B24_PORTAL_GONE', 1, 0],
  ['a user who is blocked', [stated(401, 'authorization_error')], 'FST_B24_REAUTH_REQUIRED', 1, 0],
  ['a portal without its OAuth server', [stated(401, 'CONNECTION_ERROR')], 'FST_B24_PORTAL_UNAVAILABLE', 1, 0],
  ['a portal that was deleted', [stated(403, 'PORTAL_DELETED')], 'FST_B24_PORTAL_GONE', 1, 0],
  ['a scope that is missing', [stated(403, 'insufficient_scope')], 'FST_B24_PORTAL_CALL', 1, 0],
  ['an error that the SDK takes for none', [stated(400, 'ERROR_ENTITY_NOT_FOUND')], 'FST_B24_PORTAL_CALL', 1, 0],
  ['a failure that passes', [stated(500, 'INTERNAL_SERVER_ERROR'), stated(500, 'ERROR_UNEXPECTED_ANSWER')], undefined, 3, 0],
  ['a failure that stays', Array(9).fill(stated(500, 'INTERNAL_SERVER_ERROR')), 'FST_B24_PORTAL_UNAVAILABLE', 3, 0],
  ['a page of a proxy', [{ status: 502, body: '<h1>Bad gateway</h1>' }], 'FST_B24_PORTAL_UNAVAILABLE', 1, 0],
  ['a page instead of an answer', [{ status: 200, body: '<h1>Closed</h1>' }], 'FST_B24_PORTAL_UNAVAILABLE', 1, 0],
  ['a token of REST 3 that expired', [v3(401, 'ACCESSDENIEDEXCEPTION')], undefined, 2, 1],
  ['what a user of REST 3 may not', [v3(401, 'ACCESSDENIEDEXCEPTION'), v3(401, 'ACCESSDENIEDEXCEPTION')], 'FST_B24_PORTAL_CALL', 2, 1],
  ['a method of REST 3 that took too long', [v3(429, 'RATELIMITEXCEPTION')], 'FST_B24_PORTAL_LIMIT', 1, 0],
  ['an error whose code has a method for a key', [{ status: 400, body: { error: { code: { toString: 1 }, message: { valueOf: 1 } } } as never }], 'FST_B24_PORTAL_CALL', 1, 0],
  ['a call that comes too early', [stated(503, 'QUERY_LIMIT_EXCEEDED')], undefined, 2, 0],
  ['one that always comes too early', Array(99).fill(stated(503, 'QUERY_LIMIT_EXCEEDED')), 'FST_B24_PORTAL_LIMIT', 6, 0],
  ['a method that took too long', [stated(429, 'OPERATION_TIME_LIMIT')], 'FST_B24_PORTAL_LIMIT', 1, 0],
  ['a portal that was stopped by hand', [stated(503, 'OVERLOAD_LIMIT')], 'FST_B24_PORTAL_LIMIT', 1, 0],
  ['a method that an administrator has to allow', [stated(401, 'METHOD_CONFIRM_WAITING')], 'FST_B24_PORTAL_LIMIT', 1, 0],
  ['an item that is gone', [stated(400, '', 'Not found')], 'FST_B24_PORTAL_CALL', 1, 0]
]

for (const [name, faults, code, calls, refreshed] of ROWS) {
  t.test(`${name}: ${code ?? 'the call succeeds'}, after ${calls} calls and ${refreshed} refreshes`, async t => {
    const { b24, portal, rest, refreshes } = await stageOf(t)
    for (const fault of faults) portal.fault(METHOD, { ...fault, times: 1 })
    const outcome = await rest.call(portal.memberId, METHOD, PARAMS).catch((error: unknown) => error)
    if (code === undefined) t.match(outcome, { item: { title: 'A deal' } })
    else t.match(outcome, { code })
    t.equal(portal.calls.length, calls)
    t.equal(refreshes(), refreshed)
    const text = printed(outcome)
    for (const secret of b24.secrets()) t.notOk(text.includes(secret), 'no secret is printed')
  })
}

t.test('reports the portal\'s error fields', async t => {
  const { portal, rest } = await stageOf(t)
  await t.rejects(rest.call(portal.memberId, 'no.such.method'), {
    code: 'FST_B24_PORTAL_CALL',
    statusCode: 502,
    portalStatus: 404,
    portalCode: 'ERROR_METHOD_NOT_FOUND',
    description: 'Method not found!',
    message: 'no.such.method: ERROR_METHOD_NOT_FOUND: Method not found!'
  })
})

t.test('retries only reads after a failure', async t => {
  const { portal, rest } = await stageOf(t)
  const cases: Array<[method: string, calls: number]> = [
    ['crm.item.update', 1], ['crm.item.add', 1], ['event.offline.get', 1], ['imbot.v2.Event.get', 1], ['batch', 1],
    ['event.get', 3], ['crm.item.list', 3], ['profile', 3], ['CRM.Type.List', 3]
  ]
  for (const [method, calls] of cases) {
    const lift = portal.fault(method, stated(500, 'INTERNAL_SERVER_ERROR'))
    portal.calls.length = 0
    await t.rejects(rest.call(portal.memberId, method), { code: 'FST_B24_PORTAL_UNAVAILABLE' }, method)
    t.equal(portal.calls.length, calls, method)
    lift()
  }
})

t.test('errors of the official client contain no secrets either', async t => {
  const { b24, portal, rest } = await stageOf(t)
  const client = await rest.client(portal.memberId)
  portal.fault(METHOD, stated(400, 'ERROR_CORE', `the token ${portal.issue().accessToken}`))
  for (const fault of [stated(400, 'ERROR_CORE'), { status: 502, body: 'no' }, { status: 302, headers: { location: 'http://127.0.0.1:1/' } }]) {
    const lift = portal.fault('profile', fault)
    const error = await client.actions.v2.call.make({ method: 'profile' }).catch((error: unknown) => error)
    t.match(error, { name: 'AjaxError', originalError: { code: /^FST_B24_/ } })
    for (const secret of b24.secrets()) t.notOk(printed(error).includes(secret), 'no secret is printed')
    lift()
  }
  portal.fault('profile', stated(400, 'ODD\nCODE', 'two\nlines\u001b[2J'))
  const error = await client.actions.v2.call.make({ method: 'profile' }).catch((error: unknown) => error) as Error
  t.notMatch(error.message, /\p{Cc}/u, 'nor does a portal write lines of its own')
})

t.test('batches and lists reject with the errors of a call', async t => {
  const { b24, portal, rest } = await stageOf(t)
  portal.fault('batch', stated(403, 'insufficient_scope'))
  portal.fault('crm.item.list', stated(400, 'ERROR_ENTITY_NOT_FOUND', 'There is none'))
  const failures = [
    await rest.batch(portal.memberId, [['profile', {}]]).catch((error: unknown) => error),
    await rest.list(portal.memberId, 'crm.item.list').next().catch((error: unknown) => error)
  ]
  t.match(failures, [
    { code: 'FST_B24_PORTAL_CALL', portalCode: 'insufficient_scope', portalStatus: 403 },
    { code: 'FST_B24_PORTAL_CALL', portalCode: 'ERROR_ENTITY_NOT_FOUND', description: 'There is none' }
  ])
  for (const secret of b24.secrets()) t.notOk(printed(failures).includes(secret))
})

t.test('a portal that is unreachable, hangs up or takes too long', async t => {
  const { b24, rest, install, portal } = await stageOf(t)
  const server = createServer((_request, response) => { response.socket?.destroy() })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await install(portal, { clientEndpoint: `http://127.0.0.1:${port}/rest/` })
  const hungUp = await rest.call(portal.memberId, 'crm.item.add').catch((error: unknown) => error)
  t.match(hungUp, { code: 'FST_B24_PORTAL_UNAVAILABLE', statusCode: 503, message: /UND_ERR_SOCKET/ })
  server.close()
  await once(server, 'close')
  const refused = await rest.call(portal.memberId, 'profile').catch((error: unknown) => error)
  t.match(refused, { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /ECONNREFUSED/ })
  await install(portal)
  portal.fault('profile', { hang: true })
  const slow = await rest.call(portal.memberId, 'profile', {}, { timeoutMs: 50 }).catch((error: unknown) => error)
  t.match(slow, { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /no response within 50 ms/ })
  for (const secret of b24.secrets()) t.notOk(printed([hungUp, refused, slow]).includes(secret))
})

t.test('accepts compressed responses, limited by their uncompressed size', async t => {
  const { rest, install, portal } = await stageOf(t)
  const answer = JSON.stringify({ result: { name: 'Ганс' }, time: {} })
  const long = JSON.stringify({ result: 'x'.repeat(9_000_000) })
  let content: string | Buffer = ''
  let encoding = 'identity'
  const server = createServer((_request, response) => { response.writeHead(200, { 'content-encoding': encoding }).end(content) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  await install(portal, { clientEndpoint: `http://127.0.0.1:${port}/rest/` })
  const call = async () => await rest.call(portal.memberId, 'crm.item.add').catch((error: Error) => error)

  encoding = 'gzip'
  content = gzipSync(answer)
  t.strictSame(await call(), { name: 'Ганс' })
  content = answer
  t.strictSame(await call(), { name: 'Ганс' }, 'a proxy has unpacked it')
  const cases: Array<[what: string, encoding: string, content: string | Buffer, code: string, message: RegExp]> = [
    ['zipped and cut off', 'gzip', gzipSync(answer).subarray(0, 20), 'FST_B24_PORTAL_UNAVAILABLE', /Z_BUF_ERROR/],
    ['small, and large when it is unzipped', 'gzip', gzipSync(long), 'FST_B24_ANSWER_TOO_LARGE', /crm.item.add: response exceeds 1048576 bytes/],
    ['too large', 'identity', long, 'FST_B24_ANSWER_TOO_LARGE', /1048576 bytes/]
  ]
  for (const [what, ...answered] of cases) {
    [encoding, content] = answered
    t.match(await call(), { code: answered[2], message: answered[3] }, what)
  }
})

t.test('the deadline applies to a portal that sends a byte now and then', async t => {
  const { rest, install, portal } = await stageOf(t)
  const server = createServer((_request, response) => {
    const drip = setInterval(() => response.write(' '), 20)
    response.once('close', () => clearInterval(drip))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  await install(portal, { clientEndpoint: `http://127.0.0.1:${port}/rest/` })
  const start = performance.now()
  await t.rejects(rest.call(portal.memberId, 'crm.item.add', {}, { timeoutMs: 200 }), { code: 'FST_B24_PORTAL_UNAVAILABLE', message: /no response within 200 ms/ })
  t.ok(performance.now() - start < 2_000)
})

t.test('passes errors of the tokens on', async t => {
  const { b24, rest, install, portal } = await stageOf(t)
  await install(portal, { state: 'uninstalled' })
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PORTAL_GONE' })
  await t.rejects(rest.call('nobody', 'profile'), { code: 'FST_B24_REAUTH_REQUIRED' })
  await t.rejects(rest.client('nobody'), { code: 'FST_B24_REAUTH_REQUIRED' })
  await install(portal)
  await rest.call(portal.memberId, 'profile')
  portal.paid = false
  portal.expireTokens()
  await t.rejects(rest.call(portal.memberId, 'profile'), { code: 'FST_B24_PORTAL_SUSPENDED' })
  t.ok(b24.requests.length > 0)
})

t.test('a signal aborts a call at once at every stage', async t => {
  const { portal, rest } = await stageOf(t)
  const reason = new Error('enough')
  await t.rejects(rest.call(portal.memberId, 'profile', {}, { signal: AbortSignal.abort(reason) }), reason)
  t.equal(portal.calls.length, 0)
  const broken = async (ms: number, work: (signal: AbortSignal) => Promise<unknown>) => {
    const controller = new AbortController()
    const start = performance.now()
    const failed = work(controller.signal).then(() => undefined, (error: unknown) => error)
    await sleep(ms)
    controller.abort(reason)
    t.equal(await failed, reason)
    t.ok(performance.now() - start < ms + 1_000, 'at once')
  }
  await rest.call(portal.memberId, 'profile')
  const lift = portal.fault('profile', { hang: true })
  await broken(50, async signal => await rest.call(portal.memberId, 'profile', {}, { signal }))
  lift()
  portal.fault('crm.item.list', { hang: true })
  await broken(50, async signal => await rest.list(portal.memberId, 'crm.item.list', {}, { signal }).next())
  portal.fault('batch', { hang: true })
  await broken(50, async signal => await rest.batch(portal.memberId, [['profile', {}]], { signal }))
  portal.fault(METHOD, stated(500, 'INTERNAL_SERVER_ERROR'))
  await broken(50, async signal => await rest.call(portal.memberId, METHOD, PARAMS, { signal }))
  const { signal } = new AbortController()
  await t.resolves(Promise.all(Array.from({ length: 30 }, async () => await rest.call(portal.memberId, 'profile', {}, { signal }))))
})
