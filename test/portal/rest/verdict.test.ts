import t from 'tap'
import { judge, type Judged } from '../../../src/portal/rest/verdict.ts'

const CALL: Judged = { memberId: 'm', domain: 'acme.bitrix24.com', method: 'crm.item.get', accessToken: 'the-token' }

// PROTOCOL 9.2, and what the docs and the product say differently. A remedy that suspends the portal is named by its reason.
const ROWS: Array<[status: number, error: string, description: string, remedy: string, code?: string]> = [
  [401, 'expired_token', 'The access token provided has expired.', 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  [403, 'EXPIRED_TOKEN', '', 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  [401, 'invalid_token', '', 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  [401, 'NO_AUTH_FOUND', 'Wrong authorization data', 'renew', 'FST_B24_REAUTH_REQUIRED'],
  [401, 'ACCESS_DENIED', 'REST API is available only on commercial plans.', 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  [403, 'ACCESS_DENIED', 'REST API is available only on commercial plans', 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  [403, 'access_denied', 'REST is available only on commercial plans.', 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  [403, 'ACCESS_DENIED', 'The method is available only on commercial plans.', 'fail', 'FST_B24_PORTAL_CALL'],
  [403, 'ACCESS_DENIED', 'Access denied!', 'fail', 'FST_B24_PORTAL_CALL'],
  [401, 'PAYMENT_REQUIRED', '', 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  [401, 'APPLICATION_NOT_FOUND', '', 'uninstalled', 'FST_B24_PORTAL_GONE'],
  [401, 'authorization_error', '', 'replace', 'FST_B24_REAUTH_REQUIRED'],
  [403, 'user_access_error', '', 'replace', 'FST_B24_REAUTH_REQUIRED'],
  [403, 'USER_ACCESS_ERROR', '', 'replace', 'FST_B24_REAUTH_REQUIRED'],
  [403, 'WRONG_LICENSE', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [401, 'insufficient_scope', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [401, 'METHOD_CONFIRM_WAITING', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [403, 'METHOD_CONFIRM_DENIED', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [403, 'INVALID_CREDENTIALS', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [400, 'INVALID_REQUEST', 'Https required', 'fail', 'FST_B24_PORTAL_CALL'],
  [404, 'ERROR_METHOD_NOT_FOUND', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [404, 'ERROR_MANIFEST_IS_NOT_AVAILABLE', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [429, 'OPERATION_TIME_LIMIT', '', 'wait'],
  [503, 'QUERY_LIMIT_EXCEEDED', '', 'wait'],
  [503, 'OVERLOAD_LIMIT', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [500, 'INTERNAL_SERVER_ERROR', '', 'repeat', 'FST_B24_PORTAL_UNAVAILABLE'],
  [500, 'ERROR_UNEXPECTED_ANSWER', '', 'repeat', 'FST_B24_PORTAL_UNAVAILABLE'],
  [401, 'CONNECTION_ERROR', 'Error connecting to authorization server', 'fail', 'FST_B24_PORTAL_UNAVAILABLE'],
  [403, 'PORTAL_DELETED', '', 'uninstalled', 'FST_B24_PORTAL_GONE'],
  [400, 'ERROR_CORE', 'Handler already binded', 'fail', 'FST_B24_PORTAL_CALL'],
  [200, 'ERROR_CORE', '', 'fail', 'FST_B24_PORTAL_CALL'],
  [200, 'expired_token', '', 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  [302, '', '', 'locate', 'FST_B24_PORTAL_UNAVAILABLE']
]

t.test('knows what to do about each documented error, by its code and not by its status', async t => {
  for (const [status, error, description, type, code] of ROWS) {
    const remedy = judge({ status, body: { error, error_description: description } }, CALL)
    const expected = type === 'payment_required' || type === 'uninstalled' ? { type: 'suspend', reason: type } : { type }
    t.match(remedy, { ...expected, ...(code !== undefined && { error: { code } }) }, `${status} ${error}`)
    if (code !== 'FST_B24_PORTAL_CALL') continue
    t.match(remedy, { error: { statusCode: 502, portalStatus: status, portalCode: error, description, message: `crm.item.get: ${error}` } }, `${status} ${error}`)
  }
})

t.test('a token that is unknown even when it is new is of no use, one that expired may be of a portal whose clock is wrong', async t => {
  const renewed = (error: string) => judge({ status: 401, body: { error } }, CALL) as { last?: object }
  t.match(renewed('NO_AUTH_FOUND').last, { type: 'replace', error: { portalCode: 'NO_AUTH_FOUND' } })
  t.equal(renewed('expired_token').last, undefined)
})

t.test('takes an answer without an error as a success', async t => {
  t.equal(judge({ status: 200, body: { result: true } }, CALL), undefined)
  t.equal(judge({ status: 200, body: { result: [], error: '' } }, CALL), undefined)
})

t.test('a site on a server of its own may come back, one of the cloud does not', async t => {
  const deleted = { error: 'PORTAL_DELETED', error_description: '' }
  const onPremise = { ...CALL, domain: 'portal.example.ru' }
  t.match(judge({ status: 403, body: deleted }, onPremise), { type: 'fail', error: { code: 'FST_B24_PORTAL_UNAVAILABLE' } })
  t.match(judge({ status: 410, body: deleted }, onPremise), { type: 'suspend', error: { code: 'FST_B24_PORTAL_GONE' } })
  t.match(judge({ status: 500, body: deleted }, { ...CALL, domain: 'acme.bitrix24.com.br' }), { error: { code: 'FST_B24_PORTAL_GONE' } })
})

t.test('answers that are no JSON, or no map, are of a portal that cannot be reached', async t => {
  for (const [status, body] of [[200, undefined], [404, undefined], [502, undefined], [200, []], [200, 'text'], [400, {}]] as const) {
    t.match(judge({ status, body }, CALL), { type: 'fail', error: { code: 'FST_B24_PORTAL_UNAVAILABLE' } }, `${status}`)
  }
  t.match(judge({ status: 500, body: undefined }, CALL), { type: 'repeat' })
  t.match(judge({ status: 429, body: undefined }, CALL), { type: 'wait' })
})

t.test('reads the errors of REST 3, which are maps', async t => {
  const body = { error: { code: 'BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION', message: 'No access' } }
  t.match(judge({ status: 400, body }, CALL), { error: { code: 'FST_B24_PORTAL_CALL', portalCode: /ACCESSDENIED/, description: 'No access' } })
})

t.test('a method is closed until its time counts no more, by the clock of the portal', async t => {
  const closedMs = (time?: object) => (judge({ status: 429, body: { error: 'OPERATION_TIME_LIMIT', time } }, CALL) as { closedMs: number }).closedMs
  t.equal(closedMs(), 60_000)
  t.equal(closedMs({ finish: 1_000 }), 60_000)
  t.equal(closedMs({ finish: 1_000, operating_reset_at: 1_090 }), 90_000)
  t.equal(closedMs({ finish: 1_000, operating_reset_at: 990 }), 1_000)
  t.equal(closedMs({ finish: 1_000, operating_reset_at: 253_402_300_799 }), 600_000, 'no portal is waited for longer than Bitrix24 counts')
  t.equal(closedMs({ finish: Infinity, operating_reset_at: Infinity }), 60_000)
  const byOwnClock = closedMs({ operating_reset_at: Date.now() / 1000 + 30 })
  t.ok(byOwnClock > 28_000 && byOwnClock <= 30_001, String(byOwnClock))
})

t.test('hides a token that the portal quotes', async t => {
  const remedy = judge({ status: 400, body: { error: 'BAD the-token', error_description: 'You sent the-token' } }, CALL)
  t.match(remedy, { error: { portalCode: 'BAD ***', description: 'You sent ***', message: 'crm.item.get: BAD ***' } })
})
