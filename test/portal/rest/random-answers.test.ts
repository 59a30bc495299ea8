import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { verifyPair } from '../../../src/oauth/verify-pair.ts'
import { AppCredentials } from '../../../src/oauth/app-credentials.ts'
import { refreshGrant } from '../../../src/oauth/oauth-server.ts'
import { LocalLimits } from '../../../src/storage/sqlite/call-rate-limits.ts'
import type { CallTokens } from '../../../src/portal/rest/portal-calls.ts'
import { PortalRest } from '../../../src/portal/rest/rest.ts'
import type { PortalAccess } from '../../../src/portal/tokens/access-state.ts'
import { secret } from '../../helpers/secrets.ts'
import { transportOf } from '../../helpers/transport.ts'

interface RandomAnswer { status: number, headers: Record<string, string>, body: Buffer }

/** Responses per function; `RANDOM_ANSWERS=2000` makes 10,000 in all. */
const RUNS = Number(process.env['RANDOM_ANSWERS'] ?? 400)
const TOKEN = secret()
const KEYS = { clientId: 'local.random', clientSecret: secret() }

const codes = fc.constantFrom(
  '', 'expired_token', 'NO_AUTH_FOUND', 'ACCESS_DENIED', 'QUERY_LIMIT_EXCEEDED', 'OPERATION_TIME_LIMIT', 'OVERLOAD_LIMIT', 'METHOD_CONFIRM_WAITING',
  'PAYMENT_REQUIRED', 'PORTAL_DELETED', 'invalid_client', 'invalid_grant', 'wrong_client', 'ERROR_METHOD_NOT_FOUND', 'BITRIX_REST_V3_EXCEPTION_RATELIMITEXCEPTION', TOKEN
)
const anything = fc.oneof(fc.jsonValue({ maxDepth: 4 }), codes)
const named = (...keys: string[]) => fc.dictionary(fc.constantFrom(...keys), anything, { maxKeys: 4 })
const value = fc.oneof(
  anything,
  named('error', 'error_description', 'result', 'time', 'next', 'total'),
  named('error', 'access_token', 'refresh_token', 'member_id', 'client_endpoint', 'expires_in', 'scope', 'user_id'),
  fc.record({ result: named('result', 'result_error', 'result_next', 'result_total', 'result_time', 'items', 'client_id', 'MEMBER_ID') }),
  fc.record({ error: fc.record({ code: anything, message: anything, validation: anything }) })
)
const text = fc.oneof(
  value.map(each => JSON.stringify(each)),
  fc.tuple(value, fc.nat(50)).map(([each, length]) => JSON.stringify(each).slice(0, length)),
  fc.nat(300).map(depth => '['.repeat(depth)),
  fc.constantFrom('<html><body>Bad gateway</body></html>', '', 'null', '\u{FEFF}{"result":true}')
)
const bytes = fc.oneof(text.map(each => Buffer.from(each)), text.map(each => gzipSync(each)), fc.uint8Array({ maxLength: 100 }).map(each => Buffer.from(each)))
const answers: fc.Arbitrary<RandomAnswer> = fc.record({
  status: fc.oneof(fc.constantFrom(200, 400, 401, 403, 404, 429, 503), fc.integer({ min: 200, max: 599 })),
  headers: fc.record({
    'content-type': fc.constantFrom('application/json', 'text/html', 'application/json; charset=windows-1251', ''),
    'content-encoding': fc.constantFrom('gzip', 'x-gzip', 'GZIP', 'br', 'deflate', 'identity', 'made-up'),
    location: fc.constantFrom('/rest/', 'https://127.0.0.1/', 'http://[', 'file:///etc/passwd'),
    'retry-after': fc.constantFrom('1', '-5', 'Wed, 21 Oct 2026 07:28:00 GMT', '1e400')
  }, { requiredKeys: ['content-type'] }),
  body: bytes
})

/** A server with a settable response, acting as portal and OAuth server. */
async function openServer (t: Test) {
  const next: { answer: RandomAnswer } = { answer: { status: 200, headers: {}, body: Buffer.alloc(0) } }
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    request.resume()
    response.writeHead(next.answer.status, next.answer.headers).end(next.answer.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { next, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function tokensFor (origin: string): CallTokens {
  const toPortalAccess = (memberId: string): PortalAccess => ({
    memberId, domain: '127.0.0.1', clientEndpoint: `${origin}/rest/`, oauthServer: origin, accessToken: TOKEN, expiresAt: Date.now() + 3_600_000, userId: 1, generation: 1, owner: 'installer', isSuspended: false
  })
  return {
    access: async memberId => toPortalAccess(memberId),
    renew: async access => access,
    replace: async () => undefined,
    other: async () => undefined,
    suspend: async () => {},
    resume: async () => {},
    locate: async access => access,
    move: async access => access
  }
}

t.test('random responses: every error has a code of the plugin and no secret', async t => {
  const { next, origin } = await openServer(t)
  const rest = new PortalRest({ tokens: tokensFor(origin), limits: new LocalLimits({ burst: 1e5, drainPerSecond: 1e4 }), transport: transportOf(t), maxWaitMs: 0 })
  let portals = 0
  const memberId = () => `portal-${portals++}`
  const keys = new AppCredentials({ ...KEYS, log: { error: () => {} } })
  const oauth = { ...KEYS, keys, allowedServers: [origin], timeoutMs: 2_000 }
  const functions: Record<string, () => Promise<unknown>> = {
    call: async () => await rest.call(memberId(), 'crm.item.add', { title: 'x' }, { timeoutMs: 2_000 }),
    batch: async () => await rest.batch(memberId(), { a: ['crm.item.add', {}], b: ['user.admin', {}] }, { timeoutMs: 2_000 }),
    list: async () => { for await (const page of rest.list(memberId(), 'crm.made.up', {}, { timeoutMs: 2_000 })) t.ok(Array.isArray(page)) },
    'token refresh': async () => await refreshGrant({ origin, ...KEYS, refreshToken: TOKEN, timeoutMs: 2_000 }),
    'install check': async () => await verifyPair({ memberId: 'm', accessToken: TOKEN, refreshToken: TOKEN, serverEndpoint: `${origin}/rest/` }, oauth)
  }
  for (const [name, run] of Object.entries(functions)) {
    let rejected = 0
    await fc.assert(fc.asyncProperty(answers, async answer => {
      next.answer = answer
      try {
        await run()
      } catch (error) {
        rejected++
        const { code, message, stack } = error as Error & { code?: unknown }
        if (!/^FST_B24_[A-Z_]+$/.test(String(code))) throw new Error(`no code of ours: ${stack}`)
        if (`${message}${JSON.stringify(error)}`.includes(TOKEN)) throw new Error(`${String(code)} holds the token`)
      }
    }), { numRuns: RUNS })
    t.ok(rejected > RUNS / 10, `${name}: ${RUNS} answers, ${rejected} of them rejected`)
  }
})
