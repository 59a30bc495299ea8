import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { AppCredentials } from '../../src/oauth/app-credentials.ts'
import { fetchAppInfo, refreshGrant } from '../../src/oauth/oauth-server.ts'
import { verifyPair } from '../../src/oauth/verify-pair.ts'
import { secret } from '../helpers/secrets.ts'

interface Answer { status: number, body: string | Buffer, headers?: Record<string, string> }

const CLIENT_ID = 'local.ours'

/** An OAuth server with a settable response. */
async function serverOf (t: Test) {
  const server: { answer: Answer } = { answer: { status: 200, body: '' } }
  const http = createServer((request, response) => {
    request.resume()
    const { status, body, headers = {} } = server.answer
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close', ...headers }).end(body)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => http.once('listening', resolve))
  t.teardown(() => { http.closeAllConnections(); http.close() })
  return Object.assign(server, { origin: `http://127.0.0.1:${(http.address() as AddressInfo).port}` })
}

const refresh = (origin: string) => refreshGrant({ origin, clientId: CLIENT_ID, clientSecret: secret(), refreshToken: secret(), now: () => 0, timeoutMs: 60_000 })

t.test('parses every response to a refresh', async t => {
  const server = await serverOf(t)
  const good = { access_token: 'a', refresh_token: 'r', member_id: 'm', client_endpoint: 'https://a.example/rest/', expires_in: 3600, scope: 'crm', status: 'L', user_id: 1 }
  const read = { status: 'ok', pair: { accessToken: 'a', refreshToken: 'r', expiresAt: 3_600_000 }, memberId: 'm', domain: 'a.example', clientEndpoint: 'https://a.example/rest/', scope: ['crm'], appStatus: 'L', userId: 1 }
  const { domain, clientEndpoint, ...placeless } = read
  const { memberId, ...nameless } = read
  const pairOnly = { status: 'ok', pair: read.pair, scope: [] }
  const revoked = { status: 'refused', errorClass: 'revoked', error: 'invalid_grant' }
  const table: Array<[what: string, status: number, body: unknown, meaning: object | string]> = [
    ['the documented answer', 200, good, read],
    ['no address', 200, { ...good, client_endpoint: undefined }, placeless],
    ['an address that is none', 200, { ...good, client_endpoint: 'https://a.example/' }, placeless],
    ['an address that is a map', 200, { ...good, client_endpoint: { toString: 1 } }, placeless],
    ['no portal', 200, { ...good, member_id: undefined }, nameless],
    ['a portal that is a number', 200, { ...good, member_id: 7 }, nameless],
    ['the pair alone', 200, { access_token: 'a', refresh_token: 'r' }, pairOnly],
    ['an hour as text', 200, { ...good, expires_in: '3600' }, read],
    ['an hour that is none', 200, { ...good, expires_in: -1 }, read],
    ['an hour without end', 200, '{"access_token":"a","refresh_token":"r","expires_in":1e999}', pairOnly],
    ['a scope that is a list', 200, { ...good, scope: ['crm'] }, { ...read, scope: [] }],
    ['a scope of older systems', 200, { ...good, scope: 'app' }, { ...read, scope: [] }],
    ['a user that is a map, a status that is a number', 200, { access_token: 'a', refresh_token: 'r', user_id: {}, status: 5 }, pairOnly],
    ['an empty error beside a pair', 200, { ...good, error: '' }, read],
    ['no error beside a pair', 200, { ...good, error: null }, read],
    ['half a pair', 200, { ...good, refresh_token: undefined }, 'no usable pair'],
    ['an error of this kind', 400, { error: 'invalid_grant' }, revoked],
    ['an error as a map', 400, { error: { code: 'INVALID_GRANT' } }, revoked],
    ['an error that is a map of another form', 400, { error: { toString: 1 } }, 'an error of another form'],
    ['an error that is a list', 400, { error: [['x']] }, 'an error of another form'],
    ['an error that is empty', 400, { error: '' }, 'an error of another form'],
    ['an error that nobody knows', 400, { error: 'moon_phase' }, 'moon_phase'],
    ['nothing', 200, '', 'no JSON'],
    ['HTML', 404, '<html>', 'no JSON'],
    ['a list', 200, [], 'no JSON object'],
    ['deep unexpectedResponse', 200, '['.repeat(60_000), 'no JSON'],
    ['a failure', 500, good, 'status 500']
  ]
  for (const [what, status, body, meaning] of table) {
    server.answer = { status, body: typeof body === 'string' ? body : JSON.stringify(body) }
    if (typeof meaning === 'string') await t.rejects(refresh(server.origin), { code: 'FST_B24_OAUTH_UNAVAILABLE', message: new RegExp(`unavailable: .*${meaning}`) }, what)
    else t.strictSame(await refresh(server.origin), meaning, what)
  }
})

t.test('random responses end as a result or an error with a code', async t => {
  const server = await serverOf(t)
  const keys = new AppCredentials({ clientId: CLIENT_ID, clientSecret: secret(), log: { error: () => {} } })
  const claim = { memberId: 'm', accessToken: secret(), refreshToken: secret() }
  const options = { allowedServers: [server.origin], clientId: CLIENT_ID, clientSecret: secret(), keys, timeoutMs: 60_000 }
  const named = fc.record({
    error: fc.oneof(fc.constantFrom('invalid_client', 'expired_token', 'invalid_grant', '', null), fc.jsonValue()),
    access_token: fc.jsonValue(),
    refresh_token: fc.jsonValue(),
    expires_in: fc.jsonValue(),
    client_endpoint: fc.jsonValue(),
    member_id: fc.jsonValue(),
    result: fc.jsonValue()
  }, { requiredKeys: [] }).map(value => Buffer.from(JSON.stringify(value)))
  const odd = fc.constant(Buffer.from('{"result":{"client_id":"local.ours","expires":{"toString":1},"install":{"member_id":"m","client_endpoint":"https://a.example/rest/"}}}'))
  const body = fc.oneof(named, odd, fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)), fc.json().map(text => Buffer.from(text)))
  const headers = fc.constantFrom({}, { 'content-encoding': 'gzip' }, { location: 'https://evil.example/' }, { 'content-type': 'text/html' })
  await fc.assert(fc.asyncProperty(fc.constantFrom(200, 201, 204, 302, 400, 401, 403, 404, 410, 429, 500, 503), body, headers, async (status, body, headers) => {
    server.answer = { status, body: status === 204 ? '' : body, headers }
    const asked = [refresh(server.origin), fetchAppInfo(server.origin, secret(), { timeoutMs: 60_000 }), verifyPair(claim, options)]
    for (const outcome of await Promise.allSettled(asked)) {
      if (outcome.status === 'rejected') t.match(String(outcome.reason.code), /^FST_B24_(OAUTH_UNAVAILABLE|APP_KEYS)$/)
    }
  }), { numRuns: Number(process.env['OAUTH_ANSWERS'] ?? 300) })
})
