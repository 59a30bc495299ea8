import t, { type Test } from 'tap'
import { RestError } from '../../src/testing/index.ts'
import type { Row } from '../../src/testing/portal/row-query.ts'
import { buildRest, type RestWorld } from '../helpers/rest-world.ts'
import { secret } from '../helpers/secrets.ts'

interface AnswerV3 {
  status: number
  headers: Headers
  body: { result?: any, error?: { code: string, message: string, validation?: Row[] } | string, time?: Row }
}

interface WorldV3 extends RestWorld {
  /** Calls REST 3; a token in the body unless another place is named. */
  v3 (method: string, params?: unknown, options?: { token?: string, headers?: Record<string, string>, user?: number }): Promise<AnswerV3>
}

const CODE = 'BITRIX_REST_V3_EXCEPTION_'
const TASK = { title: 'Report', creatorId: 1, responsibleId: 2 }

async function buildV3 (t: Test): Promise<WorldV3> {
  const world = await buildRest(t)
  const { portal } = world
  portal.scope = [...portal.scope, 'tasks']
  const tokens = [0, 1, 2].map(userId => portal.issue({ userId }).accessToken)
  const v3: WorldV3['v3'] = async (method, params = {}, { user = 1, token = tokens[user], headers = {} } = {}) => {
    const body = Array.isArray(params) ? params : { ...params as Row, auth: token }
    const bearer = Array.isArray(params) ? { authorization: `Bearer ${token}` } : {}
    const response = await fetch(`${portal.clientEndpoint}api/${method}`, {
      method: 'POST', body: typeof params === 'string' ? params : JSON.stringify(body), headers: { 'content-type': 'application/json', ...bearer, ...headers }
    })
    return { status: response.status, headers: response.headers, body: await response.json() as AnswerV3['body'] }
  }
  return { ...world, v3 }
}

t.test('adds, gives and lists tasks', async t => {
  const { portal, v3, call, url, posts } = await buildV3(t)
  await call('event.bind', { event: 'onTaskAdd', handler: url })
  t.match(await v3('tasks.task.add', { fields: TASK }), { status: 200, body: { result: { item: { id: 1, ...TASK, status: 'pending' } }, time: { operating: Number, operating_reset_at: Number } } })
  await portal.settled()
  t.match(Object.fromEntries(posts[0]!), { event: 'ONTASKADD', 'data[FIELDS_AFTER][ID]': '1', 'data[FIELDS_BEFORE]': 'undefined' })
  for (let id = 2; id <= 60; id++) portal.tasks.set(id, { id, title: `Task ${id}` })
  t.match((await v3('tasks.task.get', { id: 2, select: ['title', 'nothing'] })).body, { result: { item: { title: 'Task 2' } } })
  t.equal((await v3('tasks.task.get.json', { id: 2 })).status, 200)
  const cases: Array<[params: object, ids: number[]]> = [
    [{ filter: [['id', '>', 58]] }, [59, 60]],
    [{ filter: ['id', 7] }, [7]],
    [{ filter: [['id', [3, 4]]], order: { id: 'DESC' } }, [4, 3]],
    [{ filter: [['id', 'between', [5, 7]], ['id', '!=', 6]] }, [5, 7]],
    [{ filter: [['id', '>', 1], { logic: 'or', conditions: [['id', 'in', [1, 2]], ['id', '>=', 60]] }] }, [2, 60]],
    [{ pagination: { page: 3, limit: 2 } }, [5, 6]],
    [{ pagination: { limit: 1, offset: 9 } }, [10]]
  ]
  for (const [params, ids] of cases) t.strictSame((await v3('tasks.task.list', params)).body.result.items, ids.map(id => ({ id })), JSON.stringify(params))
  t.equal((await v3('tasks.task.list')).body.result.items.length, 50)
})

t.test('refuses in the words of REST 3', async t => {
  const { portal, v3 } = await buildV3(t)
  const expired = portal.issue()
  expired.expiresAt = 0
  const validation = 'VALIDATION_REQUESTVALIDATIONEXCEPTION'
  const cases: Array<[status: number, name: string, ask: () => Promise<AnswerV3>, field?: string]> = [
    [401, 'ACCESSDENIEDEXCEPTION', async () => await v3('tasks.task.get', { id: 1 }, { token: secret() })],
    [401, 'ACCESSDENIEDEXCEPTION', async () => await v3('tasks.task.get', { id: 1 }, { token: expired.accessToken })],
    [401, 'ACCESSDENIEDEXCEPTION', async () => await v3('batch', [], { token: secret() })],
    [404, 'METHODNOTFOUNDEXCEPTION', async () => await v3('crm.item.get')],
    [404, 'METHODNOTFOUNDEXCEPTION', async () => await v3('constructor')],
    [404, 'METHODNOTFOUNDEXCEPTION', async () => await v3('no.such.method', {}, { token: secret() })],
    [400, 'INVALIDJSONEXCEPTION', async () => await v3('tasks.task.get', 'id=1')],
    [400, 'INVALIDJSONEXCEPTION', async () => await v3('tasks.task.get', '7')],
    [400, validation, async () => await v3('tasks.task.get'), 'id'],
    [400, validation, async () => await v3('tasks.task.get', { id: '1' }), 'id'],
    [400, validation, async () => await v3('tasks.task.add'), 'fields'],
    [400, validation, async () => await v3('tasks.task.add', { fields: { title: 'x', creatorId: 1 } }), 'responsibleId'],
    [400, validation, async () => await v3('tasks.task.add', { fields: { ...TASK, creatorId: 'x' } }), 'creatorId'],
    [400, validation, async () => await v3('tasks.task.list', { filter: [['title', 'x']] }), 'title'],
    [400, 'UNKNOWNFILTEROPERATOREXCEPTION', async () => await v3('tasks.task.list', { filter: [['id', '~', 1]] })],
    [400, 'INVALIDFILTEREXCEPTION', async () => await v3('tasks.task.list', { filter: { id: 1 } })],
    [400, 'INVALIDPAGINATIONEXCEPTION', async () => await v3('tasks.task.list', { pagination: { limit: 'abc' } })],
    [400, 'INVALIDPAGINATIONEXCEPTION', async () => await v3('tasks.task.list', { pagination: { limit: 0 } })],
    [400, 'ENTITYNOTFOUNDEXCEPTION', async () => await v3('tasks.task.get', { id: 99 })]
  ]
  portal.tasks.set(1, { id: 1, title: 'x' })
  for (const [status, name, ask, field] of cases) {
    const { status: got, body } = await ask()
    const error = { code: CODE + name, message: /./, ...(field !== undefined && { validation: [{ field, message: /./ }] }) }
    t.match({ status: got, body }, { status, body: { error } }, `${name} ${field ?? ''}`)
    t.strictSame(Object.keys(body), ['error'])
  }
  portal.scope = ['crm', 'task']
  t.match(await v3('tasks.task.get', { id: 1 }), { status: 403, body: { error: { code: `${CODE}INSUFFICIENTSCOPEEXCEPTION` } } })
  portal.spend('tasks.task.get', 481)
  t.match(await v3('tasks.task.get', { id: 1 }), { status: 429, body: { error: { code: `${CODE}RATELIMITEXCEPTION` } } })
  portal.limit({ cap: 0 })
  t.match(await v3('tasks.task.get', { id: 1 }), { status: 503, body: { error: 'QUERY_LIMIT_EXCEEDED' } }, 'before REST 3 has it')
})

t.test('takes the token in the body, the header and the query; parameters in the body alone', async t => {
  const { portal } = await buildV3(t)
  portal.tasks.set(1, { id: 1, title: 'x' })
  const { accessToken } = portal.issue()
  const ask = async (path: string, options: RequestInit = {}) => await (await fetch(`${portal.clientEndpoint}api/${path}`, options)).json() as AnswerV3['body']
  const headers = { authorization: `Bearer ${accessToken}` }
  t.match(await ask('tasks.task.list', { headers }), { result: { items: [{ id: 1 }] } })
  t.match(await ask('tasks.task.list', { headers, method: 'POST' }), { result: { items: [{ id: 1 }] } })
  t.match(await ask(`tasks.task.list?auth=${accessToken}`), { result: { items: [{ id: 1 }] } })
  t.match(await ask('tasks.task.get?id=1', { headers }), { error: { validation: [{ field: 'id' }] } })
  t.strictSame(portal.calls.at(-1), { method: 'tasks.task.get', inBody: [], inUrl: ['id'], version: 3, status: 400 })
})

t.test('does once what comes with the same key', async t => {
  const { portal, v3 } = await buildV3(t)
  const headers = { 'idempotency-key': 'event-1' }
  const first = await v3('tasks.task.add', { fields: TASK }, { headers })
  const again = await v3('tasks.task.add', { fields: TASK }, { headers })
  t.strictSame([first.headers.get('idempotency-key'), first.headers.get('idempotent-replayed')], ['event-1', null])
  t.strictSame([again.headers.get('idempotency-key'), again.headers.get('idempotent-replayed')], ['event-1', 'true'])
  t.strictSame([again.status, again.body], [200, first.body])
  t.equal(portal.tasks.size, 1)
  t.match(await v3('tasks.task.add', { fields: { ...TASK, title: 'Other' } }, { headers }), { status: 422, body: { error: { code: `${CODE}IDEMPOTENCYKEYREUSEDEXCEPTION` } } })
  t.equal((await v3('tasks.task.add', { fields: TASK }, { headers, user: 2 })).body.result.item.id, 2, 'another user')
  t.equal((await v3('tasks.task.add', { fields: TASK })).body.result.item.id, 3, 'without a key')
  t.equal((await v3('tasks.task.get', { id: 1 }, { headers })).headers.get('idempotency-key'), null, 'of what changes nothing')
  for (const key of ['', 'a'.repeat(256), 'caf\u00e9']) {
    t.match(await v3('tasks.task.add', { fields: TASK }, { headers: { 'idempotency-key': key } }), { status: 400, body: { error: { code: `${CODE}INVALIDIDEMPOTENCYKEYEXCEPTION` } } })
  }
  const failing = { 'idempotency-key': 'event-2' }
  t.equal((await v3('tasks.task.add', { fields: {} }, { headers: failing })).status, 400)
  t.equal((await v3('tasks.task.add', { fields: TASK }, { headers: failing })).status, 200, 'an error is not kept')
})

t.test('runs a batch, the whole of which fails with its first error', async t => {
  const { portal, v3 } = await buildV3(t)
  for (const id of [1, 2, 3]) portal.tasks.set(id, { id, title: `Task ${id}` })
  const list = { method: 'tasks.task.list', query: { filter: [['id', '>', 1]] } }
  t.strictSame((await v3('batch', [list, { method: 'tasks.task.get', query: { id: 1, select: ['title'] } }])).body.result, [
    { items: [{ id: 2 }, { id: 3 }] }, { item: { title: 'Task 1' } }
  ])
  t.strictSame(portal.calls.at(-1)?.commands, ['tasks.task.list', 'tasks.task.get'])
  const named = await v3('batch', [{ ...list, as: 'tasks' }, { method: 'tasks.task.list', query: { filter: [['id', 'in', { $refArray: 'tasks.items.id' }]] }, as: 'same' }, { method: 'tasks.task.get', query: { id: { $ref: 'tasks.items.1.id' }, select: ['title'] }, as: 'last' }])
  t.strictSame(named.body.result, { tasks: { items: [{ id: 2 }, { id: 3 }] }, same: { items: [{ id: 2 }, { id: 3 }] }, last: { item: { title: 'Task 3' } } })
  const failing: Array<[items: unknown, name: string]> = [
    [[list, { method: 'tasks.task.get', query: { id: 99 } }], 'ENTITYNOTFOUNDEXCEPTION'],
    [[list, { method: 'no.such.method' }], 'METHODNOTFOUNDEXCEPTION'],
    [[list, { method: 'tasks.task.get', query: { id: { $ref: '0.items.9.id' } } }], 'INVALIDSELECTEXCEPTION'],
    [[list, { method: 'tasks.task.get', query: { id: { $refArray: '0' } } }], 'INVALIDSELECTEXCEPTION'],
    [{ cmd: { a: 'tasks.task.get?id=1' } }, 'INVALIDSELECTEXCEPTION']
  ]
  for (const [items, name] of failing) t.match((await v3('batch', items)).body, { result: undefined, error: { code: CODE + name } }, name)
})

t.test('answers a method as a test has it, and misbehaves', async t => {
  const { portal, v3, call } = await buildV3(t)
  const end = portal.stub('Main.eventlog.list', (params, user) => {
    if (params['id'] === 7) throw new RestError(400, `${CODE}MINE`, 'Mine', { validation: [{ field: 'id', message: 'seven' }] })
    return { items: [params, user.id] }
  }, { version: 3 })
  t.strictSame((await v3('main.eventlog.list', { id: 1 }, { user: 2 })).body.result, { items: [{ id: 1 }, 2] })
  t.match(await v3('main.eventlog.list', { id: 7 }), { status: 400, body: { error: { code: `${CODE}MINE`, message: 'Mine', validation: [{ field: 'id', message: 'seven' }] } } })
  t.match(await call('main.eventlog.list'), { status: 404, body: { error: 'ERROR_METHOD_NOT_FOUND' } }, 'not at classic REST')
  portal.fault('main.eventlog.list', { status: 502, body: { error: 'x' }, times: 1 })
  t.equal((await v3('main.eventlog.list')).status, 502)
  t.equal((await v3('main.eventlog.list')).status, 200)
  end()
  t.equal((await v3('main.eventlog.list')).status, 404)
})
