import { readFileSync } from 'node:fs'
import t from 'tap'
import { nameOfCallback } from '../../src/wire/callbacks.ts'
import { EnvelopeSchema } from '../../src/wire/envelope.ts'
import { checkEnvelope, envelopeProblem } from '../../src/wire/envelope-check.ts'
import { decodeForm } from '../../src/wire/form.ts'
import { isSecretKey, redact } from '../../src/wire/redact.ts'
import { emptyMap, type WireMap } from '../../src/wire/value.ts'
import { encodeForm } from '../../src/testing/portal/form.ts'
import { toMap } from '../helpers/php-forms.ts'

const MEMBER_ID = '0123456789abcdef0123456789abcdef'
const auth = { member_id: MEMBER_ID }
const samples: Array<[code: string, data: unknown]> = JSON.parse(readFileSync(new URL('../events/samples.json', import.meta.url), 'utf8'))

t.test('takes the documented events for events, and for none of the other posts', t => {
  t.ok(samples.length > 100)
  for (const [event, data] of samples) {
    const body = decodeForm(encodeForm({ event, event_handler_id: 5, data, ts: 1723538517, auth }))
    t.equal(envelopeProblem(body), undefined, event)
    t.equal(nameOfCallback(body), undefined, event)
  }
  t.end()
})

t.test('takes envelopes of every sender', t => {
  const full = {
    access_token: 'a', expires: '1', expires_in: 3600, refresh_token: 'r', scope: 'crm,task', domain: 'portal.test', server_endpoint: 's', status: 'L', client_endpoint: 'c', member_id: MEMBER_ID, user_id: 1, application_token: 't'
  }
  const envelopes: Array<[body: unknown, why: string]> = [
    [{ event: 'ONCRMDEALADD', auth }, 'no data, ts or handler'],
    [{ event: 'ONCRMDEALADD', event_handler_id: 58, ts: 1727018926, auth: full }, 'numbers, as in JSON'],
    [{ event: 'ONCRMDEALADD', event_handler_id: '58', ts: '1727018926', data: 'x', auth: full }, 'strings, as in a form'],
    [{ event: 'ONCRMDEALADD', data: [], auth: { ...full, new_field: ['x'] }, more: { x: 1 } }, 'more fields than we know'],
    [{ event: 'CATALOG.PRODUCT.ON.ADD', auth }, 'a code with dots'],
    [{ event: 'ONCRMDYNAMICITEMUPDATE_147', auth }, 'a code with a type'],
    [{ event: 'onCrmDealAdd', auth: { member_id: 'box-1.test_2' } }, 'mixed case, and a portal id that is not hex'],
    [Object.assign(emptyMap(), { event: 'ONCRMDEALADD', auth: Object.assign(emptyMap(), auth) }), 'maps without a prototype']
  ]
  for (const [body, why] of envelopes) {
    t.ok(checkEnvelope(body), why)
    t.equal(envelopeProblem(body), undefined)
  }
  t.end()
})

t.test('says why a body is no envelope, and none of its values', t => {
  const event = 'ONCRMDEALADD'
  const wrong: Array<[body: unknown, problem: string]> = [
    [undefined, 'it must be an object'], [null, 'it must be an object'], [[], 'it must be an object'], ['x', 'it must be an object'],
    [{}, 'event is missing'], [{ auth }, 'event is missing'], [{ event: 1, auth }, 'event must be a string'], [{ event: ['A'], auth }, 'event must be a string'],
    [{ event: '', auth }, 'event has a value that is not allowed'], [{ event: 'canary 7', auth }, 'event has a value that is not allowed'],
    [{ event: 'A'.repeat(129), auth }, 'event has a value that is not allowed'], [{ event: 'A\n', auth }, 'event has a value that is not allowed'],
    [{ event }, 'auth is missing'], [{ event, auth: 'canary7' }, 'auth must be an object'], [{ event, auth: [] }, 'auth must be an object'],
    [{ event, auth: {} }, 'auth.member_id is missing'], [{ event, auth: { member_id: 7 } }, 'auth.member_id must be a string'],
    [{ event, auth: { member_id: '' } }, 'auth.member_id has a value that is not allowed'], [{ event, auth: { member_id: 'a'.repeat(65) } }, 'auth.member_id has a value that is not allowed'],
    [{ event, auth: { member_id: '{canary7}:*' } }, 'auth.member_id has a value that is not allowed'],
    [{ event, auth: { member_id: 'm', application_token: { canary7: 1 } } }, 'auth.application_token must be a string'],
    [{ event, auth: { member_id: 'm', application_token: 'x'.repeat(513) } }, 'auth.application_token has a value that is not allowed'],
    [{ event, auth: { member_id: 'm', access_token: ['canary7'] } }, 'auth.access_token has a value that is not allowed'],
    [{ event, ts: '99999999999999', auth }, 'ts has a value that is not allowed'], [{ event, ts: '-1', auth }, 'ts has a value that is not allowed'],
    [{ event, ts: 1e15, auth }, 'ts has a value that is not allowed'], [{ event, ts: { a: 1 }, auth }, 'ts has a value that is not allowed'],
    [{ event, event_handler_id: 'x'.repeat(65), auth }, 'event_handler_id has a value that is not allowed']
  ]
  for (const [body, problem] of wrong) {
    t.notOk(checkEnvelope(body), JSON.stringify(body)?.slice(0, 60))
    t.equal(envelopeProblem(body), problem)
  }
  t.end()
})

t.test('the schema is plain JSON Schema, with words for its reader', t => {
  const schema = JSON.parse(JSON.stringify(EnvelopeSchema))
  t.strictSame(schema.required, ['event', 'auth'])
  t.strictSame(schema.properties.auth.required, ['member_id'])
  for (const property of [...Object.values(schema.properties), ...Object.values(schema.properties.auth.properties)]) {
    t.type((property as { description?: string }).description, 'string')
  }
  t.end()
})

t.test('names the posts that are not events', t => {
  const page = { AUTH_ID: 'x', AUTH_EXPIRES: '3600', REFRESH_ID: 'x', member_id: MEMBER_ID, status: 'L', PLACEMENT: 'DEFAULT', PLACEMENT_OPTIONS: '{}' }
  const robot = { workflow_id: 'w', code: 'c', document_id: ['crm', 'X', 'LEAD_1'], document_type: ['crm', 'X', 'LEAD'], properties: { a: '1' }, use_subscription: 'Y', ts: '1', auth }
  const message = { module_id: 'crm', properties: { phone_number: '1' }, type: 'SMS', code: 'c', message_id: 'm', message_to: '1', message_body: 'b', ts: '1' }
  const posts: Array<[name: string | undefined, body: unknown]> = [
    ['the settings form', { event: 'OnAppSettingsInstall', auth }],
    ['the settings form', { event: 'OnAppSettingsDisplay', auth }],
    ['the settings form', { event: 'ONAPPSETTINGSCHANGE', data: { 'api-key': 'x' }, auth }],
    ['the save of a settings form', { data: { 'api-key': 'x' }, auth, saveform: 'Y' }],
    ['a placement or an application page', page],
    ['a placement or an application page', { REFRESH_ID: 'x' }],
    ['a placement or an application page', { PLACEMENT: 'USERFIELD_TYPE', PLACEMENT_OPTIONS: '{}' }],
    ['a placement or an application page', { PLACEMENT_OPTIONS: '{"searchQuery":"x"}' }],
    ['a placement or an application page', { APPLICATION_TOKEN: 'x' }],
    ['a robot or an activity', { ...robot, event_token: 'x' }],
    ['a robot or an activity', robot],
    ['a robot or an activity', { document_id: ['crm', 'X', 'LEAD_1'], properties: { a: '1' } }],
    ['a message provider', message],
    ['a message provider', { ...message, module_id: 'bizproc', workflow_id: 'w', document_id: ['a'], document_type: ['b'], auth }],
    ['a delivery service', { SHIPMENT: {} }], ['a delivery service', { SHIPMENTS: [] }], ['a delivery service', { DELIVERY_ID: 1, REQUEST_ID: 'r' }],
    ['a cash register', { type: 'sell', unique_id: 1, uuid: 'u', operation: 'income' }], ['a cash register', { uuid: 'u' }],
    ['a payment system', { BX_PAYSYSTEM_ID: '1', BX_RETURN_URL: 'u' }], ['a payment system', { BX_SYSTEM_PARAMS: { PAYMENT_ID: '1' } }],
    ['an AI provider', { prompt: 'p', callbackUrl: 'u', auth }],
    ['a BI connector', { connection: { a: '1' } }], ['a BI connector', { table: 't', connection: { a: '1' } }],
    [undefined, { event: 'ONAPPINSTALL', auth }], [undefined, { event: 'ONAPPSETTINGS'.slice(0, 5), ...page, ...robot }],
    [undefined, { event: ['OnAppSettingsInstall'] }], [undefined, { auth }], [undefined, {}], [undefined, { prompt: 'p' }],
    [undefined, undefined], [undefined, null], [undefined, 'saveform']
  ]
  for (const [name, body] of posts) t.equal(nameOfCallback(body), name, JSON.stringify(body)?.slice(0, 60))
  t.equal(nameOfCallback(decodeForm(encodeForm(page))), 'a placement or an application page', 'as decoded')
  t.end()
})

t.test('takes secret keys out at any depth, in any case', t => {
  const secrets = ['access_token', 'refresh_token', 'application_token', 'client_secret', 'event_token', 'AUTH_ID', 'REFRESH_ID', 'APPLICATION_TOKEN', 'TOKEN', 'Access_Token', 'APP_SID', 'sessid']
  for (const key of secrets) {
    t.ok(isSecretKey(key), key)
    const tree = { [key]: 'x', data: { [key]: { inner: 'x' }, BOT: { 7: { [key]: 'x', AUTH: { [key]: 'x', domain: 'd' } } }, list: [{ [key]: 'x', id: '1' }] } }
    t.strictSame(redact(tree), toMap({ data: { BOT: { 7: { AUTH: { domain: 'd' } } }, list: [{ id: '1' }] } }))
    t.ok(key in tree, 'the tree itself keeps it')
  }
  for (const key of ['ID', 'auth', 'AUTH', 'member_id', 'client_id', 'tokens', 'AUTH_EXPIRES', 'expires', '']) t.notOk(isSecretKey(key), key)
  t.end()
})

t.test('copies scalars, lists and maps as they are', t => {
  for (const value of ['x', 1, true, null, undefined]) t.equal(redact(value), value)
  const tree = decodeForm('a[0]=x&b[c]=1')
  const copy = redact(tree)
  t.strictSame(copy, tree)
  t.not(copy['a'], tree['a'])
  t.equal(Object.getPrototypeOf(copy['b'] as WireMap), null)
  t.end()
})
