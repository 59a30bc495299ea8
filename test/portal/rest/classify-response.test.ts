import t from 'tap'
import { type AnsweredCall, classify, errorOf, itemError, type PortalResponse, type Recovery } from '../../../src/portal/rest/classify-response.ts'
import { printed } from '../../helpers/leaks.ts'

const CALL: AnsweredCall = { memberId: 'm', domain: 'acme.bitrix24.com', method: 'crm.item.get', accessToken: 'the-token' }
const V3 = 'BITRIX_REST_V3_EXCEPTION_'
const PAGE = { 'content-type': 'text/html' }

type Row = [what: string, answer: PortalResponse, type: string, code?: string, portalCode?: string, description?: string]

const json = (status: number, body: unknown, headers = {}): PortalResponse => ({ status, headers, body })
const classic = (status: number, error: unknown, description?: unknown): PortalResponse => json(status, { error, error_description: description })
const v3 = (status: number, code: string, more = {}): PortalResponse => json(status, { error: { code: V3 + code, message: 'The message', ...more } })

const RESULTS: Row[] = [
  ['a result', json(200, { result: true, time: {} }), 'result'],
  ['a result that is null', json(200, { result: null }), 'result'],
  ['a result with empty error fields', json(200, { result: [], error: '', error_description: '' }), 'result'],
  ['a result with an error that is null', json(200, { result: {}, error: null }), 'result'],
  ['a list with its pages', json(200, { result: [{ ID: '1' }], total: 60, next: 50, time: { operating: 1 } }), 'result'],
  ['a batch', json(200, { result: { result: { a: 1 }, result_error: [], result_total: [], result_next: [], result_time: [] } }), 'result'],
  ['a batch of which all failed', json(200, { result: { result: [], result_error: { a: { error: '', error_description: 'No' } } } }), 'result'],
  ['a result of REST 3', json(200, { result: { item: { id: 1 } } }), 'result'],
  ['a batch of REST 3', json(200, { result: [{ item: { id: 1 } }, { items: [] }] }), 'result']
]

const ERRORS: Row[] = [
  ['the default of classic REST', classic(400, '', 'Not found'), 'error', 'FST_B24_PORTAL_CALL', '', 'Not found'],
  ['the same with status 200', classic(200, '', 'Access denied.'), 'error', 'FST_B24_PORTAL_CALL', '', 'Access denied.'],
  ['the same with status 503', classic(503, '', 'No'), 'error', 'FST_B24_PORTAL_CALL', '', 'No'],
  ['a description alone', json(400, { error_description: 'Why' }), 'error', 'FST_B24_PORTAL_CALL', '', 'Why'],
  ['a code alone', json(400, { error: 'ERROR_CORE' }), 'error', 'FST_B24_PORTAL_CALL', 'ERROR_CORE', ''],
  ['no code', classic(400, null, 'Why'), 'error', 'FST_B24_PORTAL_CALL', '', 'Why'],
  ['a code that is a number', classic(400, 0, 'Why'), 'error', 'FST_B24_PORTAL_CALL', '0', 'Why'],
  ['a code that is a list', classic(400, ['a', 1], 'Why'), 'error', 'FST_B24_PORTAL_CALL', '["a",1]', 'Why'],
  ['an empty list', classic(400, [], 'Why'), 'error', 'FST_B24_PORTAL_CALL', '[]', 'Why'],
  ['an empty map', classic(400, {}, 'Why'), 'error', 'FST_B24_PORTAL_CALL', '', 'Why'],
  ['maps with names of methods', classic(400, { code: { toString: 1, valueOf: 1 }, message: { toString: 1 } }), 'error', 'FST_B24_PORTAL_CALL', '{"toString":1,"valueOf":1}', '{"toString":1}'],
  ['an error beside a result', json(200, { result: [], error: 'ERROR_CORE' }), 'error', 'FST_B24_PORTAL_CALL', 'ERROR_CORE', ''],
  ['an error of a client error without a word', json(400, { result: [], error: '' }), 'error', 'FST_B24_PORTAL_CALL', '', ''],
  ['a right that the user has not', classic(403, 'ACCESS_DENIED', 'Access denied!'), 'otherUser', 'FST_B24_PORTAL_CALL'],
  ['one method that is too much for the plan', classic(403, 'ACCESS_DENIED', 'The method is available only on commercial plans.'), 'otherUser', 'FST_B24_PORTAL_CALL'],
  ['a missing scope', classic(401, 'insufficient_scope'), 'error', 'FST_B24_PORTAL_CALL'],
  ['a licence', classic(403, 'WRONG_LICENSE'), 'error', 'FST_B24_PORTAL_CALL'],
  ['a method that an admin refused', classic(403, 'METHOD_CONFIRM_DENIED'), 'error', 'FST_B24_PORTAL_CALL'],
  ['http where https is required', classic(400, 'INVALID_REQUEST', 'Https required'), 'error', 'FST_B24_PORTAL_CALL'],
  ['an unknown method', classic(404, 'ERROR_METHOD_NOT_FOUND', 'Method not found!'), 'error', 'FST_B24_PORTAL_CALL'],
  ['a batch that is too long', classic(400, 'ERROR_BATCH_LENGTH_EXCEEDED'), 'error', 'FST_B24_PORTAL_CALL'],
  ['an error that REST 3 states', v3(400, 'ENTITYNOTFOUNDEXCEPTION'), 'error', 'FST_B24_PORTAL_CALL', `${V3}ENTITYNOTFOUNDEXCEPTION`, 'The message'],
  ['what a user of REST 3 may not', v3(403, 'ACCESSDENIEDEXCEPTION'), 'otherUser', 'FST_B24_PORTAL_CALL']
]

const TOKENS: Row[] = [
  ['a token that expired', classic(401, 'expired_token', 'The access token provided has expired.'), 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['in capitals, with another status', classic(403, 'EXPIRED_TOKEN'), 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['with status 200', classic(200, 'expired_token'), 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['as a map', json(401, { error: { code: 'expired_token', message: '' } }), 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a token that is not valid', classic(401, 'invalid_token'), 'renew', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a token of REST 3', v3(401, 'ACCESSDENIEDEXCEPTION'), 'renew', 'FST_B24_PORTAL_CALL'],
  ['an unknown token', classic(401, 'NO_AUTH_FOUND', 'Wrong authorization data'), 'renew', 'FST_B24_REAUTH_REQUIRED'],
  ['one that the OAuth server does not know', classic(400, 'invalid_grant'), 'renew', 'FST_B24_REAUTH_REQUIRED'],
  ['the same in other words', classic(400, 'invalid_client'), 'renew', 'FST_B24_PORTAL_CALL'],
  ['a user who was dismissed', classic(401, 'authorization_error'), 'replace', 'FST_B24_REAUTH_REQUIRED'],
  ['a user without the app', classic(403, 'USER_ACCESS_ERROR'), 'replace', 'FST_B24_REAUTH_REQUIRED']
]

const STATES: Row[] = [
  ['a full bucket', classic(503, 'QUERY_LIMIT_EXCEEDED'), 'limit portal'],
  ['time that is used up', classic(429, 'OPERATION_TIME_LIMIT'), 'limit method'],
  ['the same of REST 3', v3(429, 'RATELIMITEXCEPTION'), 'limit method'],
  ['too many, says a proxy', json(429, undefined), 'limit portal'],
  ['and when to come again', json(429, undefined, { 'retry-after': '7' }), 'limit method 7000'],
  ['at a date', json(429, undefined, { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' }), 'limit portal'],
  ['a portal that was blocked by hand', classic(503, 'OVERLOAD_LIMIT', 'REST API is blocked due to overload.'), 'blocked portal 300000'],
  ['a method that an admin has to allow', classic(401, 'METHOD_CONFIRM_WAITING'), 'blocked method 300000'],
  ['a plan without REST', classic(401, 'ACCESS_DENIED', 'REST API is available only on commercial plans.'), 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  ['the same in other words', classic(403, 'access_denied', 'REST is available only on commercial plans.'), 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  ['a portal that has to pay', classic(401, 'PAYMENT_REQUIRED'), 'payment_required', 'FST_B24_PORTAL_SUSPENDED'],
  ['an app that is not there', classic(401, 'APPLICATION_NOT_FOUND'), 'uninstalled', 'FST_B24_PORTAL_GONE'],
  ['the same from the OAuth server', classic(401, 'NOT_INSTALLED'), 'uninstalled', 'FST_B24_PORTAL_GONE'],
  ['a portal that was deleted', classic(403, 'PORTAL_DELETED'), 'uninstalled', 'FST_B24_PORTAL_GONE']
]

const OTHERS: Row[] = [
  ...[301, 302, 303, 307, 308].map((status): Row => [`status ${status}`, json(status, undefined, { location: 'https://x.example/' }), 'redirect https://x.example/', 'FST_B24_PORTAL_UNAVAILABLE']),
  ['a redirect with an error in it', json(302, { error: 'x' }, { location: '/y' }), 'redirect /y', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a redirect to nowhere', json(302, undefined), 'redirect undefined', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['not modified', json(304, undefined), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a failure inside', classic(500, 'INTERNAL_SERVER_ERROR'), 'unusable again', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['an unexpected answer inside', classic(500, 'ERROR_UNEXPECTED_ANSWER'), 'unusable again', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a failure inside of REST 3', v3(500, 'INTERNAL_INTERNALEXCEPTION'), 'unusable again', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a portal without its OAuth server', classic(401, 'CONNECTION_ERROR'), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a page with status 500', json(500, undefined, PAGE), 'unusable again', 'FST_B24_PORTAL_UNAVAILABLE'],
  ...[200, 400, 401, 403, 404, 502, 503, 504].map((status): Row => [`a page with status ${status}`, json(status, undefined, PAGE), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE']),
  ['an empty answer', json(204, undefined), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE'],
  ...[[], [{ result: 1 }], 'text', 0, null, true].map((body): Row => [`JSON that is no map: ${JSON.stringify(body)}`, json(200, body), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE']),
  ['a map without a result', json(200, { status: 'ok' }), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['a result with an error status', json(502, { result: true }), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE'],
  ['the JSON of a proxy', json(401, { message: 'Unauthorized' }), 'unusable', 'FST_B24_PORTAL_UNAVAILABLE']
]

for (const [group, rows] of Object.entries({ RESULTS, ERRORS, TOKENS, STATES, OTHERS })) {
  t.test(`classifies every response: ${group.toLowerCase()}`, async t => {
    for (const [what, answer, type, code, portalCode, description] of rows) {
      const classified = classify(answer, CALL)
      t.equal(summaryOf(classified), type, what)
      if (classified.type !== 'result') t.match(errorOf(classified, CALL.method), { code: code ?? 'FST_B24_PORTAL_LIMIT' }, what)
      if (code === 'FST_B24_PORTAL_CALL') t.match(classified, { error: { statusCode: 502, portalStatus: answer.status } }, what)
      if (portalCode !== undefined) t.match(classified, { error: { portalCode, description } }, what)
    }
  })
}

function summaryOf (classified: { type: 'result' } | Recovery): string {
  switch (classified.type) {
    case 'limit':
    case 'blocked': return [classified.type, classified.scope, classified.waitMs].filter(part => part !== undefined).join(' ')
    case 'suspended': return classified.reason
    case 'redirect': return `redirect ${classified.location}`
    case 'unusable': return classified.isTransient ? 'unusable again' : 'unusable'
    default: return classified.type
  }
}

const failureOf = (answer: PortalResponse, call = CALL) => (classify(answer, call) as unknown as { error: Error & Record<string, unknown> }).error

t.test('an error message has method, code, description and parameter names, but no values', async t => {
  t.equal(failureOf(classic(400, 'NOT_FOUND', 'No such item')).message, 'crm.item.get: NOT_FOUND: No such item')
  t.equal(failureOf(classic(400, '', 'Not found')).message, 'crm.item.get: Not found')
  t.equal(failureOf(classic(400, '')).message, 'crm.item.get: error without a code')
  const params = { id: 4711, filter: { '>opportunity': 815 } }
  const { message } = failureOf(classic(400, 'NOT_FOUND', '100 % gone'), { ...CALL, params })
  t.equal(message, 'crm.item.get: NOT_FOUND: 100 % gone (parameters: id, filter)')
  const many = failureOf(classic(400, 'X'), { ...CALL, params: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`${i}`.repeat(50), i])) })
  t.ok(many.message.length < 1_500, 'however many there are')
})

t.test('a portal cannot inject lines into a message', async t => {
  const said = 'gone\n{"level":30,"msg":"all is well"}\r\u001b[2J\u009b1A\u2028\u202eend'
  const error = failureOf(classic(400, 'NOT\nFOUND', said))
  t.equal(error.message, 'crm.item.get: NOT FOUND: gone {"level":30,"msg":"all is well"} [2J 1A end')
  t.equal(error['description'], said, 'its own words are as they came')
  t.match(error.stack?.split('\n')[1], /^ +at /)
})

t.test('keeps other fields of an error, within a size limit and without the token', async t => {
  const validation = [{ message: 'Required field `id` is missing', field: 'id' }]
  t.strictSame(failureOf(v3(400, 'VALIDATION_REQUESTVALIDATIONEXCEPTION', { validation }))['details'], { validation })
  const body = { error: 'X', error_description: 'Y', argument: 'id', time: { start: 1 } }
  t.strictSame(failureOf(json(400, body))['details'], { argument: 'id', time: { start: 1 } })
  t.equal(failureOf(classic(400, 'X', 'Y'))['details'], undefined)
  const large = failureOf(json(400, { error: 'X', page: 'x'.repeat(9_000), small: 1, list: Array(9_000).fill(0) }))
  t.strictSame(large['details'], { small: 1 })
  const named = failureOf(json(400, JSON.parse('{"error":"X","__proto__":{"a":1},"constructor":1,"toString":2}')))
  t.equal(JSON.stringify(named['details']), '{"__proto__":{"a":1},"constructor":1,"toString":2}')
  const quoted = { error: { code: 'BAD the-token', message: 'You sent the-token', seen: ['the-token', { 'the-token': { deep: 'a the-token b' } }] } }
  const hidden = failureOf(json(400, quoted))
  t.match(hidden, { portalCode: 'BAD ***', description: 'You sent ***', details: { seen: ['***', { '***': { deep: 'a *** b' } }] } })
  t.notOk(printed(hidden).includes('the-token'))
})

t.test('gives up on a token that is refused again', async t => {
  const last = (answer: PortalResponse) => (classify(answer, CALL) as { last?: object }).last
  t.match(last(classic(401, 'NO_AUTH_FOUND')), { type: 'replace', error: { portalCode: 'NO_AUTH_FOUND' } })
  t.match(last(v3(401, 'ACCESSDENIEDEXCEPTION')), { type: 'error', error: { code: 'FST_B24_PORTAL_CALL' } }, 'the user may not')
  t.equal(last(classic(401, 'expired_token')), undefined, 'the clock of the portal may be wrong')
})

t.test('a deleted self-hosted portal may come back, a cloud portal does not', async t => {
  const deleted = (status: number) => classic(status, 'PORTAL_DELETED')
  const onPremise = { ...CALL, domain: 'portal.example.ru' }
  t.match(classify(deleted(403), onPremise), { type: 'unusable', error: { code: 'FST_B24_PORTAL_UNAVAILABLE' } })
  t.match(classify(deleted(410), onPremise), { type: 'suspended', error: { code: 'FST_B24_PORTAL_GONE' } })
  t.match(classify(deleted(500), { ...CALL, domain: 'acme.bitrix24.com.br' }), { error: { code: 'FST_B24_PORTAL_GONE' } })
})

t.test('pauses a method until its operating time is freed, by the portal\'s clock', async t => {
  const waitMs = (time?: object) => (classify(json(429, { error: 'OPERATION_TIME_LIMIT', time }), CALL) as { waitMs?: number }).waitMs
  t.equal(waitMs(), undefined)
  t.equal(waitMs({ finish: 1_000 }), undefined)
  t.equal(waitMs({ finish: 1_000, operating_reset_at: 1_090 }), 90_000)
  t.equal(waitMs({ finish: 1_000, operating_reset_at: 990 }), 1_000)
  t.equal(waitMs({ finish: 1_000, operating_reset_at: 253_402_300_799 }), 600_000, 'no portal is waited for longer than Bitrix24 counts')
  t.equal(waitMs({ finish: Infinity, operating_reset_at: Infinity }), undefined)
})

t.test('parses every form of an error in a batch', async t => {
  const item = (value: unknown) => itemError(value, CALL)
  t.match(item({ error: '', error_description: 'Access denied.' }), { code: 'FST_B24_PORTAL_CALL', portalCode: '', description: 'Access denied.' })
  t.match(item({ error: 'QUERY_LIMIT_EXCEEDED' }), { code: 'FST_B24_PORTAL_LIMIT', portalCode: 'QUERY_LIMIT_EXCEEDED' })
  t.match(item({ error: { code: 'X', message: 'Y' } }), { code: 'FST_B24_PORTAL_CALL', portalCode: 'X', description: 'Y' })
  for (const odd of [undefined, null, '', 0, [], {}, 'text', [{ error: 'X' }], { code: 1 }]) t.match(item(odd), { code: /^FST_B24_/ }, JSON.stringify(odd))
})
