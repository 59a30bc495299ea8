import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { FST_B24_CLOSING } from '../../../src/errors.ts'
import type { Resolve } from '../../../src/portal/rest/address-guard.ts'
import { createPageUserFetcher } from '../../../src/portal/rest/page-user.ts'
import { createSimulator } from '../../../src/testing/index.ts'
import { endSimulator } from '../../helpers/end-simulator.ts'
import { secret } from '../../helpers/secrets.ts'
import { transportOf } from '../../helpers/transport.ts'

const question = (clientEndpoint: string, accessToken = secret(), signal = new AbortController().signal) => ({
  memberId: 'a', domain: 'acme.bitrix24.com', clientEndpoint, accessToken, signal
})
const ask = createPageUserFetcher({ transport: transportOf(t), timeoutMs: 2_000 })

/** A portal with fixed responses. */
async function portalThat (t: Test, answers: RequestListener): Promise<string> {
  const server = createServer(answers).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/rest/`
}

const answering = (body: unknown, status = 200): RequestListener => (_request, response) => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
}

t.test('returns whether the user is an admin and the install is finished', async t => {
  const b24 = await createSimulator({ clientId: 'local.x', clientSecret: secret() })
  t.teardown(() => endSimulator(b24))
  const portal = b24.portal('acme.bitrix24.com')
  portal.user(2, { admin: false })
  portal.beginInstall({})
  const asUser = (userId: number) => ask(question(portal.clientEndpoint, portal.issue({ userId }).accessToken))
  t.strictSame(await asUser(1), { isAdmin: true, isInstalled: false })
  await portal.finishInstall()
  t.strictSame(await asUser(2), { isAdmin: false, isInstalled: true })
  t.match(portal.calls, [{ method: 'batch', inUrl: [] }, { method: 'batch', inUrl: [] }], 'one call each, with no secret in its URL')
  await t.rejects(ask(question(portal.clientEndpoint)), { code: 'FST_B24_REAUTH_REQUIRED' }, 'a token that the portal does not know')
})

t.test('ignores malformed fields', async t => {
  const cases: Array<[body: unknown, opener: unknown]> = [
    [{ result: { result: { profile: { ADMIN: 'true' }, info: { INSTALLED: 'Y' } } } }, { isAdmin: false, isInstalled: undefined }],
    [{ result: { result: { profile: { ADMIN: true } }, result_error: { info: { error: 'insufficient_scope' } } } }, { isAdmin: true, isInstalled: undefined }]
  ]
  for (const [body, opener] of cases) t.strictSame(await ask(question(await portalThat(t, answering(body)))), opener)
})

t.test('reads at most 64 KB of a response', async t => {
  const answer = (length: number) => answering({ result: { result: { profile: { ADMIN: true, NAME: 'x'.repeat(length) }, info: { INSTALLED: true } } } })
  t.match(await ask(question(await portalThat(t, answer(50_000)))), { isAdmin: true })
  await t.rejects(ask(question(await portalThat(t, answer(70_000)))), { code: 'FST_B24_ANSWER_TOO_LARGE' })
})

t.test('an empty response is an error without the token', async t => {
  const cases: Array<[what: string, answers: RequestListener, code: string]> = [
    ['no JSON', answering('<html>'), 'FST_B24_PORTAL_UNAVAILABLE'],
    ['another JSON', answering('[1]'), 'FST_B24_PORTAL_UNAVAILABLE'],
    ['an empty batch', answering({ result: { result: [], result_error: [] } }), 'FST_B24_PORTAL_UNAVAILABLE'],
    ['a profile that is refused', answering({ result: { result: [], result_error: { profile: { error: 'insufficient_scope' } } } }), 'FST_B24_PORTAL_CALL'],
    ['a profile that is not to be had now', answering({ result: { result: [], result_error: { profile: { error: 'QUERY_LIMIT_EXCEEDED' } } } }), 'FST_B24_PORTAL_LIMIT'],
    ['a full bucket', answering({ error: 'QUERY_LIMIT_EXCEEDED' }, 503), 'FST_B24_PORTAL_LIMIT'],
    ['a closed method', answering({ error: 'OPERATION_TIME_LIMIT' }, 429), 'FST_B24_PORTAL_LIMIT'],
    ['a redirect, which is not followed', (_request, response) => { response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end() }, 'FST_B24_PORTAL_UNAVAILABLE'],
    ['an endless answer', (_request, response) => { setInterval(() => response.write('x'.repeat(50_000)), 1).unref() }, 'FST_B24_ANSWER_TOO_LARGE'],
    ['an answer that breaks off', (_request, response) => { response.write('{"result":', () => response.destroy()) }, 'FST_B24_PORTAL_UNAVAILABLE'],
    ['no answer', () => {}, 'FST_B24_PORTAL_UNAVAILABLE']
  ]
  for (const [what, answers, code] of cases) {
    const asked = question(await portalThat(t, answers))
    const error = await ask(asked).then(() => t.fail(what), (error: Error) => error) as Error
    t.match(error, { code }, what)
    t.notOk(JSON.stringify({ ...error, message: error.message, stack: error.stack }).includes(asked.accessToken), what)
  }
  const gone = question('http://127.0.0.1:1/rest/')
  await t.rejects(ask(gone), { code: 'FST_B24_PORTAL_UNAVAILABLE' }, 'nobody there')
})

t.test('aborts with its signal', async t => {
  const url = await portalThat(t, () => {})
  await t.rejects(ask(question(url, secret(), AbortSignal.abort(new FST_B24_CLOSING()))), { code: 'FST_B24_CLOSING' })
  const stop = new AbortController()
  const asked = ask(question(url, secret(), stop.signal))
  stop.abort(new FST_B24_CLOSING())
  await t.rejects(asked, { code: 'FST_B24_CLOSING' })
})

t.test('connects to no private address, whatever its name', async t => {
  const resolve: Resolve = (_host, _options, done) => done(null, [{ address: '10.0.0.1', family: 4 }])
  const ask = createPageUserFetcher({ transport: transportOf(t, { allowPrivateNetworks: false, resolve }) })
  await t.rejects(ask(question('http://127.0.0.1/rest/')), { code: 'FST_B24_PRIVATE_ADDRESS' })
  await t.rejects(ask(question('https://acme.bitrix24.com/rest/')), { code: 'FST_B24_PRIVATE_ADDRESS' })
})
