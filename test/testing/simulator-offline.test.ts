import t, { type Test } from 'tap'
import { buildRest, type CallOptions, type RestAnswer, type RestWorld } from '../helpers/rest-world.ts'
import { secret } from '../helpers/secrets.ts'

interface Reserved {
  process_id: string | null
  events: Array<{ ID: string, MESSAGE_ID: string, EVENT_DATA: { FIELDS: { ID: number } } }>
}

interface OfflineWorld extends RestWorld {
  get (params?: object, options?: CallOptions): Promise<Reserved>
  /** Ids of the items in the rows that `get` brings. */
  fetchIds (params?: object): Promise<number[]>
  bind (connector?: string): Promise<RestAnswer>
}

async function buildOffline (t: Test): Promise<OfflineWorld> {
  const world = await buildRest(t)
  const { call } = world
  const bind = async (connector = '') => await call('event.bind', { event: 'onCrmDealUpdate', event_type: 'offline', auth_connector: connector })
  const get: OfflineWorld['get'] = async (params, options) => (await call<Reserved>('event.offline.get', params, options)).body.result!
  await bind()
  return { ...world, bind, get, fetchIds: async params => (await get(params)).events.map(({ EVENT_DATA }) => EVENT_DATA.FIELDS.ID) }
}

t.test('queues a change once, and moves it to the end when it comes again', async t => {
  const { portal, get, call } = await buildOffline(t)
  for (const id of [1, 2, 1]) await portal.change(2, id, {}, { userId: id })
  await portal.change(3, 1)
  const { process_id: processId, events } = await get({ clear: 0 })
  t.match(processId, /^[0-9a-f]{32}$/)
  t.match(events, [{ ID: '2' }, {
    ID: '1',
    TIMESTAMP_X: /^\d{4}-.*\+00:00$/,
    EVENT_NAME: 'ONCRMDEALUPDATE',
    EVENT_DATA: { FIELDS: { ID: 1 } },
    EVENT_ADDITIONAL: { user_id: '1' },
    MESSAGE_ID: /^[0-9a-f]{32}$/
  }])
  t.notOk('PROCESS_ID' in events[0]!)

  await portal.change(2, 1)
  t.equal(portal.offlineEvents.rows.length, 3, 'what is reserved is not what waits')
  t.match((await get({ clear: 0 })).events, [{ ID: '3' }])
  t.match(await get({ clear: 0 }), { process_id: /^[0-9a-f]{32}$/, events: [] }, 'a process id even for nothing')
  t.match((await call('event.offline.list', { filter: { PROCESS_ID: processId } })).body, { total: 2, result: [{ ID: '1', PROCESS_ID: processId, ERROR: '0' }, { ID: '2' }] })
})

t.test('deletes what it brings, unless told not to', async t => {
  const { portal, get, fetchIds } = await buildOffline(t)
  for (const id of [1, 2, 3, 4, 5]) await portal.change(2, id)
  t.match(await get({ limit: 2 }), { process_id: null, events: [{ ID: '1' }, { ID: '2' }] })
  t.strictSame(portal.offlineEvents.rows.map(({ id }) => id), [3, 4, 5])
  const { process_id: processId } = await get({ clear: 0 })
  t.strictSame(await fetchIds(), [])
  t.strictSame(await fetchIds({ process_id: processId, clear: 0, limit: 1 }), [3], 'a batch is read again')
  t.strictSame(await fetchIds({ process_id: processId, limit: 1 }), [3])
  t.strictSame(portal.offlineEvents.rows, [], 'and all of it deleted, beyond the limit too')
})

t.test('brings what a filter and an order ask for', async t => {
  const { portal, get, fetchIds, call } = await buildOffline(t)
  for (const id of [1, 2, 3]) await portal.change(2, id)
  const [first] = portal.offlineEvents.rows
  const rows: Array<[params: object, ids: number[]]> = [
    [{ filter: { '>ID': 1 } }, [2, 3]],
    [{ filter: { MESSAGE_ID: first?.messageId } }, [1]],
    [{ filter: { '=EVENT_NAME': 'ONCRMLEADADD' } }, []],
    [{ order: { ID: 'DESC' } }, [3, 2, 1]],
    [{ order: { TIMESTAMP_X: 'DESC' } }, [3, 2, 1]]
  ]
  for (const [params, ids] of rows) {
    const { process_id: processId, events } = await get({ clear: 0, ...params })
    t.strictSame(events.map(({ EVENT_DATA }) => EVENT_DATA.FIELDS.ID), ids, JSON.stringify(params))
    for (const row of portal.offlineEvents.rows.filter(row => row.processId === processId)) row.processId = ''
  }
  for (const params of [{ limit: 0 }, { limit: -1 }, { limit: 'x' }, { filter: { PROCESS_ID: '' } }, { filter: { ID: [1] } }]) {
    t.match(await call('event.offline.get', params), { status: 400, body: { error: 'ERROR_ARGUMENT' } }, JSON.stringify(params))
  }
  t.strictSame(await fetchIds({ limit: 1 }), [1], 'nothing was lost')
})

t.test('clears what is named, or the whole', async t => {
  const cases: Array<[title: string, params: (batch: { processId: string, ids: string[], messageIds: string[] }) => object, left: number[]]> = [
    ['by id', ({ processId, ids }) => ({ process_id: processId, id: [ids[0]] }), [2, 3]],
    ['by message id', ({ processId, messageIds }) => ({ process_id: processId, message_id: [messageIds[1]] }), [1, 3]],
    ['by both: the message id wins', ({ processId, ids, messageIds }) => ({ process_id: processId, id: ids, message_id: [messageIds[1]] }), [1, 3]],
    ['no names: the whole batch', ({ processId }) => ({ process_id: processId }), [3]],
    ['empty names: the whole batch', ({ processId }) => ({ process_id: processId, id: [], message_id: [] }), [3]],
    ['another batch: nothing', ({ ids }) => ({ process_id: 'f'.repeat(32), id: ids }), [1, 2, 3]],
    ['an empty process id: what waits', () => ({ process_id: '' }), [1, 2]]
  ]
  for (const [title, params, left] of cases) {
    const { portal, get, call } = await buildOffline(t)
    for (const id of [1, 2]) await portal.change(2, id)
    const { process_id: processId, events } = await get({ clear: 0 })
    await portal.change(2, 3)
    const batch = { processId: processId as string, ids: events.map(({ ID }) => ID), messageIds: events.map(({ MESSAGE_ID }) => MESSAGE_ID) }
    t.match(await call('event.offline.clear', params(batch), { as: 'form' }), { status: 200, body: { result: true } }, title)
    t.strictSame(portal.offlineEvents.rows.map(({ id }) => id), left, title)
  }
})

t.test('refuses what it cannot clear or mark', async t => {
  const { call } = await buildOffline(t)
  const processId = 'a'.repeat(32)
  for (const method of ['event.offline.clear', 'event.offline.error']) {
    for (const params of [{}, { process_id: processId, message_id: 'x' }, { process_id: processId, message_id: ['short'] }]) {
      t.match(await call(method, params), { status: 400, body: { error: 'ERROR_ARGUMENT' } }, `${method} ${JSON.stringify(params)}`)
    }
  }
  for (const method of ['get', 'clear', 'error', 'list']) {
    t.match(await call(`event.offline.${method}`, { process_id: processId }, { user: 2 }), { status: 403, body: { error: 'ACCESS_DENIED' } }, method)
  }
})

t.test('error rows are not brought, and swallow the next change', async t => {
  const { portal, get, call, fetchIds } = await buildOffline(t)
  for (const id of [1, 2]) await portal.change(2, id)
  const { process_id: processId, events } = await get({ clear: 0 })
  const messageIds = events.map(({ MESSAGE_ID }) => MESSAGE_ID)
  t.match(await call('event.offline.error', { process_id: processId, message_id: messageIds }), { body: { result: true } })
  await portal.change(2, 1)
  t.strictSame(await fetchIds(), [], 'the change hides in the error row')
  t.match((await call('event.offline.list', { filter: { ERROR: 1 } })).body, { total: 2, result: [{ ID: '1', ERROR: '1', PROCESS_ID: '' }, {}] })
  await portal.change(2, 3)
  t.strictSame(await fetchIds({ error: 1, limit: 1 }), [2])
  t.strictSame(portal.offlineEvents.rows.map(({ id }) => id), [1, 3], 'only what was brought is gone')
  t.strictSame(await fetchIds({ error: 1, clear: 0 }), [1])
  t.strictSame(await fetchIds({ error: 1 }), [], 'error rows are reserved like others')
  t.strictSame(await fetchIds(), [3])
})

t.test('marking rows of another batch deletes them', async t => {
  const { portal, get, call } = await buildOffline(t)
  await portal.change(2, 1)
  const { process_id: processId, events } = await get({ clear: 0 })
  await portal.change(2, 1)
  const messageIds = events.map(({ MESSAGE_ID }) => MESSAGE_ID)
  t.equal(portal.offlineEvents.rows.length, 2)
  await call('event.offline.error', { process_id: processId, message_id: messageIds })
  t.match(portal.offlineEvents.rows, [{ id: 1, error: true, processId: '' }], 'one row for one change')
  await portal.change(2, 2)
  const other = await get({ clear: 0 })
  t.match(await call('event.offline.error', { process_id: 'f'.repeat(32), message_id: other.events.map(({ MESSAGE_ID }) => MESSAGE_ID) }), { body: { result: true } })
  t.match(portal.offlineEvents.rows, [{ id: 1 }])
})

t.test('without the extended feature a batch cannot be reserved', async t => {
  const { portal, call, fetchIds } = await buildOffline(t)
  portal.features.delete('rest_offline_extended')
  await portal.change(2, 1)
  t.match(await call('event.offline.get', { clear: 0 }), { status: 403, body: { error: 'WRONG_LICENSE' } })
  t.strictSame(await fetchIds(), [1])
})

t.test('own calls do not come back, by their connector', async t => {
  const { b24, portal, call, bind, fetchIds } = await buildOffline(t)
  await bind('erp')
  b24.app({ clientId: 'local.theirs', clientSecret: secret() })
  const theirs = portal.issue({ clientId: 'local.theirs' }).accessToken
  for (const id of [1, 2, 3]) portal.items.set(2, id)
  await call('crm.item.update', { entityTypeId: 2, id: 1, fields: { title: 'New' } })
  await call('crm.item.update', { entityTypeId: 2, id: 2, fields: { title: 'New' }, auth_connector: 'erp' })
  await call('crm.item.update', { entityTypeId: 2, id: 3, fields: { title: 'New' } }, { token: theirs })
  t.strictSame(await fetchIds(), [2, 3])
  t.strictSame(await fetchIds({ auth_connector: 'erp' }), [1, 3])
  await portal.change(2, 4, {}, { userId: null })
  t.match(portal.offlineEvents.rows[0], { userId: 0 })
})

t.test('rings once a second, at the first change', async t => {
  const { portal, call, url, posts } = await buildOffline(t)
  await call('event.bind', { event: 'onOfflineEvent', handler: url, options: { minTimeout: 0 } })
  for (const id of [1, 2, 3]) await portal.change(2, id, {}, { userId: 7 })
  t.match(posts.map(post => [post.get('event'), post.get('auth[user_id]'), post.has('auth[refresh_token]')]), [['ONOFFLINEEVENT', '7', true]])
  await new Promise(resolve => setTimeout(resolve, 1050))
  t.equal(posts.length, 1, 'what came within the second rings no more')
  await portal.change(2, 4)
  t.equal(posts.length, 2)
})

t.test('lists by pages', async t => {
  const { portal, call } = await buildOffline(t)
  for (let id = 1; id <= 60; id++) portal.offlineEvents.add({ clientId: 'local.ours', connector: '' }, 'ONCRMDEALUPDATE', undefined, 1)
  for (let id = 1; id <= 60; id++) await portal.change(2, id)
  t.match(await call('event.offline.list'), { body: { total: 61, next: 50, result: [{ EVENT_DATA: false }] } })
  t.equal((await call<unknown[]>('event.offline.list', { start: 50, order: { ID: 'DESC' } })).body.result?.length, 11)
})
