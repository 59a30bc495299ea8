import type { FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import fc from 'fast-check'
import { encodeForm, waitForIdle } from '../../src/testing/index.ts'
import { buildWorld, type World } from '../helpers/app.ts'
import { secret } from '../helpers/secrets.ts'

t.setTimeout(120_000)

const FORM = 'application/x-www-form-urlencoded'

/** An app with one installed portal, and a function that posts any body. */
async function installedWorld (t: Test, options: Parameters<typeof buildWorld>[1] = {}) {
  const world = await buildWorld(t, options)
  const portal = world.b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(world.eventsUrl)).statusCode, 200)
  await waitForIdle(world.app.bitrix24)
  const heard: unknown[] = []
  world.app.bitrix24.on('onCrmDynamicItemUpdate', event => { heard.push(event.data) })
  const envelope = (change: object = {}) => ({
    event: 'ONCRMDYNAMICITEMUPDATE',
    event_handler_id: '12',
    data: { FIELDS: { ID: '24', ENTITY_TYPE_ID: '1220' } },
    ts: String(Math.floor(Date.now() / 1000)),
    auth: { domain: portal.domain, member_id: portal.memberId, application_token: portal.applicationToken },
    ...change
  })
  return { ...world, portal, heard, envelope, post: (payload: string | Buffer, type: string | null = FORM) => post(world, payload, type) }
}

async function post ({ app }: World, payload: string | Buffer, type: string | null) {
  const answer = await app.inject({ method: 'POST', url: '/bitrix24/events', payload, headers: type === null ? {} : { 'content-type': type } })
  if (answer.statusCode === 200) await waitForIdle(app.bitrix24)
  return { statusCode: answer.statusCode, ...answer.json<{ status?: string, code?: string, message?: string }>() }
}

t.test('answers 200 to a genuine event, and runs its handlers', async t => {
  const { post, envelope, heard } = await installedWorld(t)
  t.match(await post(encodeForm(envelope())), { statusCode: 200, status: 'accepted' })
  t.strictSame(JSON.parse(JSON.stringify(heard)), [{ FIELDS: { ID: 24, ENTITY_TYPE_ID: 1220 } }])
})

t.test('accepts the same shape as JSON', async t => {
  const { post, envelope, heard } = await installedWorld(t)
  t.match(await post(JSON.stringify(envelope()), 'application/json; charset=utf-8'), { statusCode: 200 })
  t.strictSame(JSON.parse(JSON.stringify(heard)), [{ FIELDS: { ID: 24, ENTITY_TYPE_ID: 1220 } }])
})

t.test('answers 200 to an event without handlers', async t => {
  const { post, envelope } = await installedWorld(t)
  t.match(await post(encodeForm(envelope({ event: 'ONTASKADD' }))), { statusCode: 200, status: 'accepted' })
})

t.test('answers an unknown portal and a wrong token alike', async t => {
  const { post, envelope, portal, heard } = await installedWorld(t)
  const { application_token: token, ...rest } = envelope().auth
  const wrong = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`
  const cases: Array<[what: string, auth: object]> = [
    ['a token with one character changed', { ...rest, application_token: wrong }],
    ['no token', rest],
    ['an empty token', { ...rest, application_token: '' }],
    ['an unknown portal with the token of another', { ...rest, member_id: 'f'.repeat(32), application_token: portal.applicationToken }],
    ['an unknown portal with any token', { ...rest, member_id: 'f'.repeat(32), application_token: secret() }]
  ]
  const answers = []
  for (const [what, auth] of cases) {
    const answer = await post(encodeForm(envelope({ auth })))
    t.equal(answer.statusCode, 403, what)
    answers.push(JSON.stringify(answer))
  }
  t.equal(new Set(answers).size, 1, 'one answer for all')
  t.equal(heard.length, 0)
})

t.test('names requests that are not events', async t => {
  const { post, envelope } = await installedWorld(t)
  const cases: Array<[what: string, body: object, says: RegExp]> = [
    ['a page', { AUTH_ID: secret(), REFRESH_ID: secret(), member_id: 'a'.repeat(32), PLACEMENT: 'DEFAULT' }, /page|placement/],
    ['a robot', { workflow_id: '1', code: 'robot', event_token: secret(), document_id: ['crm', 'CCrmDocumentDeal', 'DEAL_1'], auth: envelope().auth }, /robot/],
    ['a settings form', envelope({ event: 'OnAppSettingsInstall' }), /settings/],
    ['a message provider', { type: 'SMS', code: 'sms', message_id: 'x', message_to: '1', message_body: 'hi' }, /message|provider/]
  ]
  for (const [what, body, says] of cases) {
    const answer = await post(encodeForm(body))
    t.match(answer, { statusCode: 400, code: 'FST_B24_NOT_AN_EVENT', message: says }, what)
  }
})

t.test('answers bad input with a code, and leaves nothing behind', async t => {
  const { post, envelope, app, heard, b24 } = await installedWorld(t)
  const form = encodeForm(envelope())
  const stateBefore = JSON.stringify(await arrayOf(app.bitrix24.portals()))
  const asked = b24.requests.length
  const cases: Array<[what: string, body: string | Buffer, type: string | null, statusCode: number, code: string]> = [
    ['an empty body', '', FORM, 400, 'FST_B24_ENVELOPE'],
    ['no body and no type', '', null, 400, 'FST_B24_ENVELOPE'],
    ['plain text', form, 'text/plain', 415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE'],
    ['a multipart form', form, 'multipart/form-data; boundary=x', 415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE'],
    ['a body with no type', form, null, 415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE'],
    ['1.1 MB', `${form}&x=${'x'.repeat(1_100_000)}`, FORM, 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
    ['a prototype key', `${form}&__proto__[x]=1`, FORM, 400, 'FST_B24_FORM_KEY'],
    ['a prototype key inside', `${form}&data[__proto__][x]=1`, FORM, 400, 'FST_B24_FORM_KEY'],
    ['a constructor key', `${form}&data%5Bconstructor%5D%5Bprototype%5D=1`, FORM, 400, 'FST_B24_FORM_KEY'],
    ['100,000 keys', Array.from({ length: 100_000 }, (_, i) => i.toString(36)).join('&').slice(0, 260_000), FORM, 400, 'FST_B24_FORM_LIMIT'],
    ['a depth of 50', `${form}&a${'[b]'.repeat(50)}=1`, FORM, 400, 'FST_B24_FORM_LIMIT'],
    ['a key of 2 KB', `${form}&${'k'.repeat(2048)}=1`, FORM, 400, 'FST_B24_FORM_LIMIT'],
    ['auth as a string', encodeForm(envelope({ auth: 'admin' })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['auth as a list', encodeForm(envelope({ auth: ['admin'] })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['no auth', encodeForm(envelope({ auth: null })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['no event', encodeForm(envelope({ event: null })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['two events', `${form}&event=ONCRMDEALADD`, FORM, 400, 'FST_B24_FORM_KEY'],
    ['two tokens', `${form}&auth[application_token]=${secret()}`, FORM, 400, 'FST_B24_FORM_KEY'],
    ['a token that is a map', encodeForm(envelope({ auth: { ...envelope().auth, application_token: { a: '1' } } })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['NUL in the event', encodeForm(envelope({ event: 'ON\0X' })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['NUL in the member_id', encodeForm(envelope({ auth: { ...envelope().auth, member_id: '\0' } })), FORM, 400, 'FST_B24_ENVELOPE'],
    ['invalid UTF-8 in the event', Buffer.concat([Buffer.from('event='), Buffer.from([0xff, 0xfe]), Buffer.from('&auth[member_id]=a')]), FORM, 400, 'FST_B24_ENVELOPE'],
    ['truncated percent escapes', 'event=%4&auth%5Bmember_id=%', FORM, 400, 'FST_B24_ENVELOPE'],
    ['a JSON array', '[1,2]', 'application/json', 400, 'FST_B24_ENVELOPE'],
    ['a JSON scalar', '"x"', 'application/json', 400, 'FST_B24_ENVELOPE'],
    ['broken JSON', '{"event":', 'application/json', 400, 'FST_B24_JSON'],
    ['JSON with a prototype key', '{"__proto__":{"x":1}}', 'application/json', 400, 'FST_B24_FORM_KEY'],
    ['JSON of depth 50', `{"a":${'['.repeat(50)}${']'.repeat(50)}}`, 'application/json', 400, 'FST_B24_FORM_LIMIT']
  ]
  for (const [what, body, type, statusCode, code] of cases) {
    t.match(await post(body, type), { statusCode, code }, what)
  }
  t.equal(heard.length, 0, 'no hook ran')
  t.equal(b24.requests.length, asked, 'no server was asked')
  t.equal(JSON.stringify(await arrayOf(app.bitrix24.portals())), stateBefore, 'no record changed')
})

t.test('accepts an event with an odd ts or other minor deviations', async t => {
  const { post, envelope, app } = await installedWorld(t)
  const sent: unknown[] = []
  app.bitrix24.on('onTaskAdd', event => { sent.push([event.sentAt, event.handlerId]) })
  for (const ts of ['1723538517.5', '2024-08-13T10:01:57+03:00', '-5', '9'.repeat(400), '', { a: '1' }]) {
    t.equal((await post(encodeForm(envelope({ event: 'ONTASKADD', ts, event_handler_id: { a: '1' }, eventId: '7' })))).statusCode, 200, JSON.stringify(ts).slice(0, 40))
  }
  t.equal((await post(encodeForm(envelope({ event: 'ONTASKADD', ts: null, event_handler_id: null })))).statusCode, 200, 'no ts')
  t.strictSame(sent, [...Array.from({ length: 6 }, () => [undefined, 7]), [undefined, undefined]])
})

t.test('accepts a documented message of 20,000 characters of any script, twice in one body', async t => {
  const { post, envelope, portal, app } = await installedWorld(t)
  const heard: unknown[] = []
  app.bitrix24.on('onImBotMessageAdd', event => { heard.push(event.data.PARAMS.MESSAGE) })
  for (const character of ['\u6f22', '\u{1f600}']) {
    const text = character.repeat(20_000)
    const body = encodeForm(envelope({ event: 'ONIMBOTMESSAGEADD', data: { PARAMS: { MESSAGE: text, MESSAGE_ORIGINAL: text } } }))
    t.ok(body.length > 350_000)
    t.equal((await post(body)).statusCode, 200)
    t.ok(heard.at(-1) === text)
    const stranger = { member_id: 'f'.repeat(32), application_token: portal.applicationToken }
    t.match(await post(body.replaceAll(portal.memberId, stranger.member_id)), { statusCode: 403 }, 'not of a stranger')
  }
  t.equal(heard.length, 2)
})

t.test('accepts events at a path with extra slashes, regardless of router options of the host', async t => {
  const hosts: FastifyServerOptions[] = [{}, { routerOptions: { ignoreTrailingSlash: true } }, { routerOptions: { ignoreDuplicateSlashes: true } }, { routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true } }]
  for (const host of hosts) {
    const { app, b24, eventsUrl } = await buildWorld(t, {}, host)
    const portal = b24.portal('acme.bitrix24.com')
    t.equal((await portal.install(eventsUrl.replace('/events', '/install/'))).statusCode, 200)
    await waitForIdle(app.bitrix24)
    const payload = encodeForm({ event: 'ONTASKADD', auth: { member_id: portal.memberId, application_token: portal.applicationToken } })
    for (const url of ['/events', '/events/', '/install', '/install/'].flatMap(path => [`/bitrix24${path}`, `/bitrix24/${path}`, `//bitrix24${path}`, `/bitrix24${path}?x=1`])) {
      t.equal((await app.inject({ method: 'POST', url, payload, headers: { 'content-type': FORM } })).statusCode, 200, `${url} ${JSON.stringify(host)}`)
      t.equal((await app.inject(url)).statusCode, 200, url)
    }
    t.equal((await app.inject({ method: 'POST', url: '/bitrix24/events/more', payload, headers: { 'content-type': FORM } })).statusCode, 404)
  }
})

t.test('extra slashes are accepted with a prefix, a namespace, or neither', async t => {
  for (const options of [{ prefix: '/own' }, { prefix: '' }]) {
    const { app } = await buildWorld(t, options)
    for (const url of [`${options.prefix}/events/`, `${options.prefix}/install/`, `${options.prefix}//events`]) t.equal((await app.inject(url)).statusCode, 200, url)
  }
  const { app } = await buildWorld(t, { namespace: 'sales' })
  for (const url of ['/bitrix24/sales/events/', '/bitrix24/sales/install/', '//bitrix24/sales/events/']) t.equal((await app.inject(url)).statusCode, 200, url)
})

t.test('no route logs a query', async t => {
  const { app, logs, post } = await installedWorld(t)
  await post('')
  const canary = secret()
  for (const url of ['/bitrix24/events', '/bitrix24/events/', '/bitrix24/install', '/bitrix24//install/']) {
    for (const method of ['POST', 'GET'] as const) await app.inject({ method, url: `${url}?APP_SID=${canary}&auth=${canary}` })
  }
  t.ok(logs.some(line => line.includes('/bitrix24/events')))
  t.notOk(logs.some(line => line.includes(canary)))
})

t.test('accepts odd values in data as sent', async t => {
  const { post, envelope, heard, app } = await installedWorld(t)
  const cases: Array<[sent: object, arrives: unknown]> = [
    [{ FIELDS: { ID: '9'.repeat(40), ENTITY_TYPE_ID: '1220' } }, '9'.repeat(40)],
    [{ FIELDS: { ID: '24\0', ENTITY_TYPE_ID: '1220' } }, '24\0'],
    [{ FIELDS: { ID: { a: 'b' }, ENTITY_TYPE_ID: '1220' } }, { a: 'b' }],
    [{ FIELDS: { ID: '-1', ENTITY_TYPE_ID: '1220' } }, -1]
  ]
  for (const [data, arrives] of cases) {
    t.equal((await post(encodeForm(envelope({ data })))).statusCode, 200)
    t.strictSame(JSON.parse(JSON.stringify((heard.at(-1) as { FIELDS: { ID: unknown } }).FIELDS.ID)), arrives)
  }
  t.strictSame((await app.bitrix24.health()).schemaMismatches, { onCrmDynamicItemUpdate: 3 }, 'mismatches are counted')
})

t.test('survives any body', async t => {
  const { post, envelope } = await installedWorld(t)
  const soup = fc.stringMatching(/^[a-c=&%[\]0-9_.+\0é]{0,80}$/)
  const bodies = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    soup,
    soup.map(text => `${encodeForm(envelope())}&${text}`),
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    fc.object({ maxDepth: 4 }).map(tree => encodeForm({ ...envelope(), data: tree })),
    fc.json().map(json => `{"event":"ONX","auth":${json}}`)
  )
  const before = [Object.prototype, Array.prototype, String.prototype].map(Object.getOwnPropertyNames).join()
  await fc.assert(fc.asyncProperty(bodies, fc.constantFrom(FORM, 'application/json'), async (body, type) => {
    const { statusCode } = await post(body, type)
    return statusCode < 500
  }), { numRuns: 400 })
  t.equal([Object.prototype, Array.prototype, String.prototype].map(Object.getOwnPropertyNames).join(), before)
})

t.test('answers GET with 200, for Bitrix24 may probe', async t => {
  const { app } = await installedWorld(t)
  for (const url of ['/bitrix24/events', '/bitrix24/install']) {
    const answer = await app.inject(url)
    t.equal(answer.statusCode, 200)
    t.strictSame(answer.json(), { status: 'ready' })
  }
})

t.test('accepts ONAPPINSTALL at the install URL', async t => {
  const { app, b24, eventsUrl } = await buildWorld(t)
  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(eventsUrl.replace('/events', '/install'))).statusCode, 200)
  await waitForIdle(app.bitrix24)
  t.match(await app.bitrix24.portal(portal.memberId), { state: 'active' })
})

t.test('has the portal on the request of an accepted event, and only there', async t => {
  const seen: Array<string | undefined> = []
  const { app, b24, eventsUrl } = await buildWorld(t, {}, {}, app => {
    app.addHook('onResponse', async request => { seen.push(request.portal?.domain) })
  })
  const portal = b24.portal('acme.bitrix24.com')
  await portal.install(eventsUrl)
  await waitForIdle(app.bitrix24)
  await portal.send('onTaskAdd', {})
  await portal.send('onTaskAdd', {}, { auth: { application_token: secret() } })
  await app.inject('/bitrix24/events')
  t.strictSame(seen, [undefined, 'acme.bitrix24.com', undefined, undefined], 'nor of an install that nobody has confirmed yet')
})

async function arrayOf<T> (items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
