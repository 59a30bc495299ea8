import { readFileSync } from 'node:fs'
import t from 'tap'
import { catalogue } from '../../src/events/catalogue/index.ts'
import { describeNonEvent } from '../../src/wire/non-events.ts'
import { EnvelopeSchema } from '../../src/wire/envelope.ts'
import { checkEnvelope, envelopeProblem } from '../../src/wire/envelope-check.ts'
import { decodeForm } from '../../src/wire/form.ts'
import { decodeJson } from '../../src/wire/json.ts'
import { hasSecretInText, isSecret, redact } from '../../src/wire/redact.ts'
import { emptyMap, type WireMap } from '../../src/wire/form-tree.ts'
import { encodeForm } from '../../src/testing/portal/form.ts'
import { toMap } from '../helpers/php-forms.ts'

interface Shape { type?: string, properties?: Record<string, Shape>, patternProperties?: Record<string, Shape>, items?: Shape, anyOf?: Shape[] }

const MEMBER_ID = '0123456789abcdef0123456789abcdef'
const auth = { member_id: MEMBER_ID }
const samples: Array<[code: string, data: unknown]> = JSON.parse(readFileSync(new URL('../events/samples.json', import.meta.url), 'utf8'))

t.test('treats documented events as events, not as other requests', t => {
  t.ok(samples.length > 100)
  for (const [event, data] of samples) {
    const body = decodeForm(encodeForm({ event, event_handler_id: 5, data, ts: 1723538517, auth }))
    t.equal(envelopeProblem(body), undefined, event)
    t.equal(describeNonEvent(body), undefined, event)
  }
  t.end()
})

t.test('accepts envelopes of every sender', t => {
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

t.test('describes why a body is invalid without revealing its values', t => {
  const event = 'ONCRMDEALADD'
  const wrong: Array<[body: unknown, problem: string]> = [
    [undefined, 'body must be an object'], [null, 'body must be an object'], [[], 'body must be an object'], ['x', 'body must be an object'],
    [{}, 'event is missing'], [{ auth }, 'event is missing'], [{ event: 1, auth }, 'event must be a string'], [{ event: ['A'], auth }, 'event must be a string'],
    [{ event: '', auth }, 'event has an invalid value'], [{ event: 'canary 7', auth }, 'event has an invalid value'],
    [{ event: 'A'.repeat(129), auth }, 'event has an invalid value'], [{ event: 'A\n', auth }, 'event has an invalid value'],
    [{ event }, 'auth is missing'], [{ event, auth: 'canary7' }, 'auth must be an object'], [{ event, auth: [] }, 'auth must be an object'],
    [{ event, auth: {} }, 'auth.member_id is missing'], [{ event, auth: { member_id: 7 } }, 'auth.member_id must be a string'],
    [{ event, auth: { member_id: '' } }, 'auth.member_id has an invalid value'], [{ event, auth: { member_id: 'a'.repeat(65) } }, 'auth.member_id has an invalid value'],
    [{ event, auth: { member_id: '{canary7}:*' } }, 'auth.member_id has an invalid value'],
    [{ event, auth: { member_id: 'm', application_token: { canary7: 1 } } }, 'auth.application_token must be a string'],
    [{ event, auth: { member_id: 'm', application_token: 'x'.repeat(513) } }, 'auth.application_token has an invalid value']
  ]
  for (const [body, problem] of wrong) {
    t.notOk(checkEnvelope(body), JSON.stringify(body)?.slice(0, 60))
    t.equal(envelopeProblem(body), problem)
  }
  t.end()
})

t.test('an invalid optional field is removed and the event accepted', t => {
  const odd: unknown[] = ['1723538517.5', '2024-08-13T10:01:57+03:00', '-1', -1, '99999999999999', 1e15, 1.5, '', null, true, [], ['1'], { a: '1' }, 'x'.repeat(5000)]
  for (const value of odd) {
    const body = decodeJson(JSON.stringify({ event: 'ONCRMDEALADD', ts: value, data: { ID: 5 }, auth: { ...auth, application_token: 't' } })) as { ts?: unknown }
    t.ok(checkEnvelope(body), JSON.stringify(value)?.slice(0, 40))
    t.equal(body.ts, undefined)
    t.match(body, { data: { ID: 5 }, auth: { application_token: 't' } })
  }
  const all = {
    event: 'ONCRMDEALADD',
    ts: [],
    event_handler_id: {},
    eventId: 'x'.repeat(65),
    auth: { ...auth, application_token: 't', access_token: [], refresh_token: {}, expires: null, expires_in: true, scope: ['crm'], domain: {}, server_endpoint: [], client_endpoint: 'x'.repeat(2049), status: null, user_id: false }
  }
  t.ok(checkEnvelope(all))
  t.strictSame(all, { event: 'ONCRMDEALADD', auth: { ...auth, application_token: 't' } })
  t.end()
})

t.test('the schema is plain JSON Schema with descriptions', t => {
  const schema = JSON.parse(JSON.stringify(EnvelopeSchema))
  t.strictSame(schema.required, ['event', 'auth'])
  t.strictSame(schema.properties.auth.required, ['member_id'])
  for (const property of [...Object.values(schema.properties), ...Object.values(schema.properties.auth.properties)]) {
    t.type((property as { description?: string }).description, 'string')
  }
  t.end()
})

t.test('names requests that are not events', t => {
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
  for (const [name, body] of posts) t.equal(describeNonEvent(body), name, JSON.stringify(body)?.slice(0, 60))
  t.equal(describeNonEvent(decodeForm(encodeForm(page))), 'a placement or an application page', 'as decoded')
  t.end()
})

t.test('removes credentials at any depth, in any spelling of their names', t => {
  const secrets = [
    'access_token', 'refresh_token', 'application_token', 'client_secret', 'event_token', 'AUTH_ID', 'REFRESH_ID', 'APPLICATION_TOKEN', 'TOKEN',
    'Access_Token', 'APP_SID', 'sessid', 'accessToken', 'Access-Token', 'app-sid', 'clientSecret', 'api-key', 'apiKey', 'X_API_KEY', 'password', 'smtpPassword',
    'PASSWD', 'webhook_secret', 'sessionToken', 'tokens', 'private-key'
  ]
  for (const key of secrets) {
    t.ok(isSecret(key, 'x') && isSecret(key, { inner: 'x' }), key)
    const tree = { [key]: 'x', data: { [key]: { inner: 'x' }, BOT: { 7: { [key]: 'x', AUTH: { [key]: 'x', domain: 'd' } } }, list: [{ [key]: 'x', id: '1' }] } }
    t.strictSame(redact(tree), toMap({ data: { BOT: { 7: { AUTH: { domain: 'd' } } }, list: [{ id: '1' }] } }))
    t.ok(key in tree, 'the tree itself keeps it')
  }
  for (const key of ['auth', 'AUTH', 'authorization', 'Proxy-Authorization', 'x-auth', 'authKey', 'auth_code', 'oauth']) {
    t.ok(isSecret(key, 'x'), key)
    t.notOk(isSecret(key, { domain: 'd' }), `${key} that is a map is looked into`)
  }
  const plain = [
    'ID', 'member_id', 'client_id', 'AUTH_EXPIRES', 'expires', '', 'author', 'authorId', 'AUTHOR_ID', 'coAuthors', 'authority', 'AUTH_TYPE', 'auth_connector',
    'externalAuthId', 'EXTERNAL_AUTH_ID', 'authorized', 'token_type', 'SECRETARY_ID', 'keyboard', 'passport', 'hash'
  ]
  for (const key of plain) t.notOk(isSecret(key, 'x'), key)
  t.end()
})

t.test('no other documented field is treated as a credential', t => {
  const found = new Set<string>()
  const walk = (schema: Shape): void => {
    for (const [key, field] of Object.entries(schema.properties ?? {})) {
      if (isSecret(key, field.type === 'object' ? {} : '')) found.add(key)
    }
    for (const below of [...Object.values(schema.properties ?? {}), ...Object.values(schema.patternProperties ?? {}), ...schema.anyOf ?? [], schema.items ?? []].flat() as Shape[]) walk(below)
  }
  for (const { data } of Object.values(catalogue)) walk(data as Shape)
  t.strictSame([...found].sort(), ['TOKEN', 'access_token', 'application_token', 'refresh_token'])
  t.end()
})

t.test('removes credentials from queries and JSON anywhere in a text', t => {
  const cases: Array<[text: string, left: string]> = [
    ['https://a.example/file?auth=s3cret&id=5', 'https://a.example/file?auth=&id=5'],
    ['https://a.example/?id=5&access_token=s3cret#top', 'https://a.example/?id=5&access_token=#top'],
    ['see https://a.example/?Access-Token=s3cret and /rest/?APP_SID=s3cret.', 'see https://a.example/?Access-Token= and /rest/?APP_SID='],
    ['/rest/5/download/?token=disk%7Cs3cret', '/rest/5/download/?token='],
    ['<a href="?auth=s3cret">', '<a href="?auth=">'],
    ['https://a.example/?back=https://b.example/?auth=s3cret&id=5', 'https://a.example/?back=https://b.example/?auth=&id=5'],
    ['https://a.example/?back=https%3A%2F%2Fb.example%2F%3Fauth%3Ds3cret%2Bx%26id%3D5&page=2', 'https://a.example/?back=https%3A%2F%2Fb.example%2F%3Fauth%3D%26id%3D5&page=2'],
    ['https://a.example/?back=%252F%253Ftoken%253Ds3cret%2526id%253D5', 'https://a.example/?back=%252F%253Ftoken%253D%2526id%253D5'],
    ['https://a.example/?id=5&auth[access_token]=s3cret&auth%5Brefresh_token%5D=s3cret', 'https://a.example/?id=5&auth[access_token]=&auth%5Brefresh_token%5D='],
    ['https://a.example/#access_token=s3cret', 'https://a.example/#access_token='],
    ['{"auth":{"access_token":"s3cret\\/x","domain":"d"},"clientSecret" : "s3cret"}', '{"auth":{"access_token":"","domain":"d"},"clientSecret" : ""}'],
    ['{"inner":"{\\"AUTH_ID\\":\\"s3cret\\",\\"id\\":\\"5\\"}"}', '{"inner":"{\\"AUTH_ID\\":\\"\\",\\"id\\":\\"5\\"}"}']
  ]
  for (const [text, left] of cases) {
    t.ok(hasSecretInText(text), text)
    t.strictSame(redact({ list: [text], text }), toMap({ list: [left], text: left }))
  }
  for (const text of ['https://a.example/?author=5&authType=x', 'token=5', 'a=b', '?auth=', 'x'.repeat(100_000), '?'.repeat(100_000) + '=', '{"author":"x","auth":{"domain":"d"},"password":""}', '['.repeat(100_000) + '%'.repeat(100_000) + '"'.repeat(100_000)]) {
    t.notOk(hasSecretInText(text), text.slice(0, 40))
    t.equal(redact(text), text)
  }
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
