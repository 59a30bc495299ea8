import t from 'tap'
import { encodeForm } from '../../src/testing/portal/form.ts'
import { RestError } from '../../src/testing/index.ts'
import { buildRest, CLIENT_ID, type RestAnswer } from '../helpers/rest-world.ts'
import { secret } from '../helpers/secrets.ts'
import { until } from '../helpers/until.ts'

interface BatchResult {
  result: object
  result_error: object
}

t.test('takes a call as a form, as JSON and by GET, with and without .json', async t => {
  const { portal, call, b24 } = await buildRest(t)
  portal.change(1220, 24, { title: 'One' })
  const params = { entityTypeId: 1220, filter: { '=title': 'One' }, select: ['title'] }
  for (const as of ['json', 'form', 'query'] as const) {
    for (const method of ['crm.item.list', 'crm.item.list.json', 'CRM.item.list']) {
      const { status, body } = await call(method, params, { as })
      t.match({ status, body }, { status: 200, body: { total: 1, time: { start: Number, finish: Number, duration: Number, processing: Number, date_start: /\+00:00$/, date_finish: /\+00:00$/, operating: Number, operating_reset_at: Number } } })
      t.strictSame(body.result, { items: [{ id: 24, title: 'One' }] }, `${method} as ${as}`)
    }
  }
  t.equal(portal.calls.length, 9)
  t.strictSame(portal.calls[0], { method: 'crm.item.list', inBody: ['entityTypeId', 'filter', 'select', 'auth'], inUrl: [], status: 200 })
  t.strictSame(portal.calls[6], { method: 'crm.item.list', inBody: [], inUrl: ['entityTypeId', 'filter', 'select', 'auth'], status: 200 })
  t.notOk(b24.secrets().some(value => JSON.stringify(portal.calls).includes(value)))
})

t.test('takes the token from the header, from auth, then from access_token', async t => {
  const { portal } = await buildRest(t)
  const token = (userId: number) => portal.issue({ userId }).accessToken
  const profileOf = async (fields: object, headers: Record<string, string> = {}) => {
    const response = await fetch(`${portal.clientEndpoint}profile`, { method: 'POST', body: encodeForm(fields), headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } })
    return (await response.json() as RestAnswer<{ ID: string }>['body']).result?.ID
  }
  t.equal(await profileOf({ auth: token(3), access_token: token(4) }, { authorization: `Bearer ${token(2)}` }), '2')
  t.equal(await profileOf({ auth: token(3), access_token: token(4) }), '3')
  t.equal(await profileOf({ access_token: token(4) }), '4')
  t.equal(await profileOf({}), undefined)
})

t.test('refuses as Bitrix24 documents it', async t => {
  const { b24, portal, call } = await buildRest(t)
  b24.app({ clientId: 'local.theirs', clientSecret: secret() })
  const expired = portal.issue()
  expired.expiresAt = 0
  const rotated = portal.issue()
  rotated.alive = false
  const elsewhere = b24.portal('other.bitrix24.com').issue()
  const cases: Array<[status: number, error: string, ask: () => Promise<RestAnswer>]> = [
    [401, 'NO_AUTH_FOUND', async () => await call('profile', {}, { token: '' })],
    [401, 'NO_AUTH_FOUND', async () => await call('profile', {}, { token: secret() })],
    [401, 'NO_AUTH_FOUND', async () => await call('profile', {}, { token: elsewhere.accessToken })],
    [401, 'expired_token', async () => await call('profile', {}, { token: expired.accessToken })],
    [401, 'expired_token', async () => await call('profile', {}, { token: rotated.accessToken })],
    [404, 'ERROR_METHOD_NOT_FOUND', async () => await call('no.such.method')],
    [404, 'ERROR_METHOD_NOT_FOUND', async () => await call('constructor')],
    [400, 'ERROR_ARGUMENT', async () => await call('feature.get')],
    [400, 'NOT_FOUND', async () => await call('crm.item.list', { entityTypeId: 1221 })],
    [400, 'NOT_FOUND', async () => await call('crm.item.get', { entityTypeId: 2, id: 1 })]
  ]
  for (const [status, error, ask] of cases) t.match(await ask(), { status, body: { error, error_description: /./ } }, error)

  const states: Array<[status: number, error: string, enter: () => void, leave: () => void]> = [
    [401, 'authorization_error', () => { portal.user(1, { active: false }) }, () => { portal.user(1, { active: true }) }],
    [403, 'user_access_error', () => { portal.user(1, { access: false }) }, () => { portal.user(1, { access: true }) }],
    [401, 'ACCESS_DENIED', () => { portal.paid = false }, () => { portal.paid = true }],
    [403, 'insufficient_scope', () => { portal.scope = ['task'] }, () => { portal.scope = ['crm'] }],
    [401, 'APPLICATION_NOT_FOUND', () => { portal.removedApps.add(CLIENT_ID) }, () => { portal.removedApps.clear() }],
    [403, 'PORTAL_DELETED', () => { portal.deleted = true }, () => { portal.deleted = false }]
  ]
  for (const [status, error, enter, leave] of states) {
    enter()
    t.match(await call('crm.type.list'), { status, body: { error } }, error)
    leave()
    t.match(await call('crm.type.list'), { status: 200 })
  }
  t.strictSame(portal.calls.at(-2)?.status, 403)
  for (const [type, body] of [['application/json', '{'], ['application/x-www-form-urlencoded', 'a=1&a=2']] as const) {
    t.equal((await fetch(`${portal.clientEndpoint}profile`, { method: 'POST', body, headers: { 'content-type': type } })).status >= 400, true, 'a body that cannot be read')
  }
  const { status } = await fetch(`${b24.oauthServer}/portals/nobody.bitrix24.com/rest/profile`)
  t.equal(status, 404)
})

t.test('says who calls, what the portal is and what the app may do', async t => {
  const { portal, call } = await buildRest(t)
  portal.user(3, { name: 'Ann', admin: true })
  portal.features.delete('rest_auth_connector')
  const rows: Array<[method: string, params: object, user: number, result: unknown]> = [
    ['app.info', {}, 1, { CODE: CLIENT_ID, VERSION: 1, STATUS: 'F', INSTALLED: true, PAYMENT_EXPIRED: 'N', LANGUAGE_ID: 'en' }],
    ['profile', {}, 1, { ID: '1', ADMIN: true, NAME: 'User 1' }],
    ['profile', {}, 2, { ID: '2', ADMIN: false }],
    ['user.current', {}, 3, { ID: '3', ACTIVE: true, NAME: 'Ann' }],
    ['user.admin', {}, 2, false],
    ['user.admin', {}, 3, true],
    ['user.admin', {}, 1000, true],
    ['scope', {}, 2, ['crm', 'task', 'user']],
    ['server.time', {}, 2, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/],
    ['feature.get', { CODE: 'rest_offline_extended' }, 2, { value: 'Y' }],
    ['feature.get', { CODE: 'rest_auth_connector' }, 2, { value: 'N' }]
  ]
  for (const [method, params, user, result] of rows) {
    t.match(await call(method, params, { user }), { status: 200, body: { result } }, `${method} of user ${user}`)
  }
  const names = async (params: object) => (await call('events', params)).body.result as string[]
  const own = await names({})
  t.ok(own.includes('ONAPPINSTALL') && own.includes('ONCRMDEALADD') && !own.includes('ONIMBOTMESSAGEADD'))
  t.strictSame(await names({ scope: 'user' }), ['ONUSERADD'])
  t.ok((await names({ full: 1 })).includes('ONIMBOTMESSAGEADD'))
})

t.test('runs a batch', async t => {
  const { portal, call } = await buildRest(t)
  for (let id = 1; id <= 60; id++) portal.items.set(2, id)
  const cmd = { one: 'crm.item.get?entityTypeId=2&id=1', all: 'crm.item.list?entityTypeId=2&select[]=id', none: 'crm.item.get?entityTypeId=2&id=99', nested: 'batch?cmd[a]=profile', last: 'user.admin' }
  const { status, body } = await call<BatchResult>('batch', { halt: 0, cmd })
  t.equal(status, 200)
  t.match(body.result, {
    result: { one: { item: { id: 1 } }, last: true },
    result_error: { none: { error: 'NOT_FOUND', error_description: String }, nested: { error: 'ERROR_BATCH_METHOD_NOT_ALLOWED' } },
    result_total: { all: 60 },
    result_next: { all: 50 },
    result_time: { one: { operating: Number }, last: {} }
  })
  t.strictSame(Object.keys(body.result!.result), ['one', 'all', 'last'])
  t.strictSame(portal.calls[0]?.commands, ['crm.item.get', 'crm.item.list', 'crm.item.get', 'batch', 'user.admin'])

  const halted = (await call<BatchResult>('batch', { halt: 1, cmd }, { as: 'form' })).body.result!
  t.strictSame([Object.keys(halted.result), Object.keys(halted.result_error)], [['one', 'all'], ['none']])
  const { result } = (await call('batch', { cmd: ['user.admin', 'scope'] })).body
  t.match(result, { result: [true, ['crm', 'task', 'user']], result_error: [], result_total: [], result_next: [] }, 'lists, and lists for empty maps, as PHP writes them')
  t.match(await call('batch', { cmd: [] }), { status: 200, body: { result: { result: [] } } })
})

t.test('bears as many calls as it is told to', async t => {
  const { b24, call } = await buildRest(t, { limits: { cap: 3, drainPerSecond: 0.01 } })
  const statuses = async (count: number) => {
    const answers = await Promise.all(Array.from({ length: count }, async () => await call('scope')))
    return answers.filter(({ status, body }) => status === 503 && body.error === 'QUERY_LIMIT_EXCEEDED').length
  }
  t.equal(await statuses(12), 9)
  b24.portal('acme.bitrix24.com').limit({ cap: 1, drainPerSecond: 100 })
  t.equal((await call('scope')).status, 200)
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal((await call('scope')).status, 200, 'it drains')
  b24.portal('acme.bitrix24.com').limit({ cap: 1000 })
  t.equal(await statuses(40), 0)
})

t.test('refuses a method whose operating time is used up', async t => {
  const { portal, call } = await buildRest(t)
  portal.spend('crm.item.list', 400)
  portal.spend('crm.item.list', 80)
  const { time } = (await call('crm.item.list', { entityTypeId: 2 })).body
  t.ok(Number(time?.['operating']) >= 480 && Number(time?.['operating_reset_at']) > Date.now() / 1000 + 590)
  portal.spend('scope', 481, 60_000)
  t.match(await call('scope'), { status: 429, body: { error: 'OPERATION_TIME_LIMIT' } })
  t.match(await call('batch', { cmd: ['scope'] }), { status: 200, body: { result: { result_error: [{ error: 'OPERATION_TIME_LIMIT' }] } } })
  t.equal((await call('profile')).status, 200, 'other methods go on')
  const later = Date.now() + 61_000
  t.intercept(Date, 'now', { value: () => later })
  t.equal((await call('scope')).status, 200)
})

t.test('misbehaves on request, method by method', async t => {
  const { portal, call } = await buildRest(t)
  const lift = portal.fault('Profile', { status: 503, body: { error: 'OVERLOAD_LIMIT' }, times: 2 })
  t.equal((await call('scope')).status, 200)
  t.match(await call('profile'), { status: 503, body: { error: 'OVERLOAD_LIMIT' } })
  lift()
  t.equal((await call('profile')).status, 200)
  portal.fault('scope', { hang: true, times: 1 })
  const ending = new AbortController()
  const hanging = fetch(`${portal.clientEndpoint}scope`, { signal: ending.signal }).catch(({ name }) => name)
  await until(() => portal.calls.at(-1)?.method === 'scope', 'the portal has the call')
  ending.abort()
  t.equal(await hanging, 'AbortError')
  t.strictSame(portal.calls.at(-1), { method: 'scope', inBody: [], inUrl: [] }, 'without a status, as there was no answer')
})

t.test('late before it has worked, it does not serve who has hung up; late after, it has', async t => {
  const { portal } = await buildRest(t)
  const { accessToken } = portal.issue()
  const add = async () => await fetch(`${portal.clientEndpoint}crm.item.add?entityTypeId=2&auth=${accessToken}`, { signal: AbortSignal.timeout(30) })
  const lift = portal.fault('crm.item.add', { delayMs: 80 })
  await t.rejects(add(), { name: 'TimeoutError' })
  await new Promise(resolve => setTimeout(resolve, 120))
  t.equal(portal.items.all(2).length, 0)
  lift()
  portal.fault('crm.item.add', { answerDelayMs: 80 })
  await t.rejects(add(), { name: 'TimeoutError' })
  t.equal(portal.items.all(2).length, 1)
})

t.test('redirects to the new address after a rename', async t => {
  const { b24, portal, call } = await buildRest(t)
  const { accessToken } = portal.issue()
  const old = portal.clientEndpoint
  const { memberId } = portal
  portal.rename('acme-new.bitrix24.com')
  const { status, headers } = await fetch(`${old}profile.json?a=b`, { method: 'POST', body: `auth=${accessToken}`, headers: { 'content-type': 'application/x-www-form-urlencoded' }, redirect: 'manual' })
  t.equal(status, 302)
  t.equal(headers.get('location'), `${b24.oauthServer}/portals/acme-new.bitrix24.com/rest/profile.json?a=b`)
  t.match(await call('profile', {}, { token: accessToken }), { status: 200 }, 'tokens stay')
  t.equal(portal.memberId, memberId)
  t.equal(b24.portal('acme-new.bitrix24.com'), portal)
  t.equal(b24.portals().length, 1)
})

t.test('answers a method as a test has it, in batches too', async t => {
  const { portal, call } = await buildRest(t)
  t.match((await call('im.notify.system.add', { USER_ID: 1 })).body, { error: 'ERROR_METHOD_NOT_FOUND' })
  const asked: unknown[] = []
  portal.stub('im.notify.system.add', (params, user) => {
    asked.push([params, user.id])
    if (params['USER_ID'] === undefined) throw new RestError(400, 'USER_ID_EMPTY', 'User ID is empty')
    return 42
  })
  t.match((await call('im.notify.system.add', { USER_ID: 1 })).body, { result: 42, time: { operating: Number } })
  t.match(await call('IM.notify.system.add'), { status: 400, body: { error: 'USER_ID_EMPTY', error_description: 'User ID is empty' } })
  const { body } = await call<BatchResult>('batch', { cmd: { one: 'im.notify.system.add?USER_ID=7' } })
  t.match(body.result, { result: { one: 42 } })
  t.strictSame(asked, [[{ USER_ID: 1 }, 1], [{}, 1], [{ USER_ID: '7' }, 1]])
  portal.stub('profile', async () => ({ ID: '9' }))
  t.strictSame((await call('profile')).body.result, { ID: '9' })
})
