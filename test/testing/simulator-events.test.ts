import t from 'tap'
import { buildRest, CLIENT_ID, type RestWorld } from '../helpers/rest-world.ts'
import { secret } from '../helpers/secrets.ts'

const HANDLER = 'https://app.example/events'

t.test('binds an event, once', async t => {
  const { portal, call } = await buildRest(t)
  const deal = { event: 'onCrmDealAdd', handler: HANDLER }
  portal.features.delete('rest_auth_connector')
  const rows: Array<[title: string, params: object, user: number, status: number, error?: string]> = [
    ['an event', deal, 1, 200],
    ['it again', { EVENT: 'ONCRMDEALADD', HANDLER }, 1, 400, 'ERROR_CORE'],
    ['for a user', { ...deal, auth_type: 7 }, 1, 200],
    ['as a user without rights, for himself', deal, 2, 200],
    ['again', { ...deal, auth_type: 2 }, 2, 400, 'ERROR_CORE'],
    ['as one, for another', { ...deal, auth_type: 1 }, 2, 403, 'ACCESS_DENIED'],
    ['another spelling of the URL', { ...deal, handler: `${HANDLER}/` }, 1, 200],
    ['an event of one type', { ...deal, event: 'onCrmDynamicItemAdd_1220' }, 1, 200],
    ['an event of every app', { ...deal, event: 'onAppTest' }, 1, 200],
    ['an unknown event', { ...deal, event: 'onNothing' }, 1, 400, 'ERROR_EVENT_NOT_FOUND'],
    ['one out of scope', { ...deal, event: 'onImbotMessageAdd' }, 1, 400, 'ERROR_EVENT_NOT_FOUND'],
    ['no event', { handler: HANDLER }, 1, 400, 'ERROR_ARGUMENT'],
    ['no handler', { event: 'onCrmDealAdd' }, 1, 400, 'ERROR_ARGUMENT'],
    ['no URL', { ...deal, handler: 'nowhere' }, 1, 400, 'ERROR_WRONG_HANDLER_URL'],
    ['a host without a dot', { ...deal, handler: 'http://localhost/' }, 1, 400, 'ERROR_WRONG_HANDLER_URL'],
    ['another protocol', { ...deal, handler: 'ftp://app.example/' }, 1, 400, 'ERROR_UNSUPPORTED_PROTOCOL'],
    ['another type', { ...deal, event_type: 'sometimes' }, 1, 400, 'ERROR_ARGUMENT'],
    ['offline', { event: 'onCrmDealAdd', event_type: 'offline' }, 1, 200],
    ['offline again', { ...deal, event_type: 'offline' }, 1, 400, 'ERROR_CORE'],
    ['offline without rights', { ...deal, event_type: 'offline' }, 2, 403, 'ACCESS_DENIED'],
    ['the bell offline', { event: 'onOfflineEvent', event_type: 'offline' }, 1, 400, 'ERROR_ARGUMENT'],
    ['a connector outside the plan', { ...deal, event_type: 'offline', auth_connector: 'erp' }, 1, 403, 'WRONG_LICENSE']
  ]
  for (const [title, params, user, status, error] of rows) {
    t.match(await call('event.bind', params, { user }), { status, body: error === undefined ? { result: true } : { error } }, title)
  }
  t.match(await call('event.bind', deal), { body: { error_description: 'Unable to set event handler: Handler already binded' } })
  portal.features.add('rest_auth_connector')
  t.match(await call('event.bind', { ...deal, event_type: 'offline', auth_connector: 'erp' }), { status: 200 })

  t.strictSame((await call('event.get')).body.result, [
    { event: 'ONCRMDEALADD', handler: HANDLER, auth_type: '0', offline: 0 },
    { event: 'ONCRMDEALADD', handler: HANDLER, auth_type: '7', offline: 0 },
    { event: 'ONCRMDEALADD', handler: HANDLER, auth_type: '2', offline: 0 },
    { event: 'ONCRMDEALADD', handler: `${HANDLER}/`, auth_type: '0', offline: 0 },
    { event: 'ONCRMDYNAMICITEMADD_1220', handler: HANDLER, auth_type: '0', offline: 0 },
    { event: 'ONAPPTEST', handler: HANDLER, auth_type: '0', offline: 0 },
    { event: 'ONCRMDEALADD', connector_id: '', offline: 1 },
    { event: 'ONCRMDEALADD', connector_id: 'erp', offline: 1 }
  ])
  t.strictSame((await call('event.get', {}, { user: 2 })).body.result, [{ event: 'ONCRMDEALADD', handler: HANDLER, auth_type: '2', offline: 0 }])
})

t.test('unbinds what matches, and says how many', async t => {
  const { call } = await buildRest(t)
  const deal = { event: 'onCrmDealAdd', handler: HANDLER }
  for (const authType of [0, 7, 8]) await call('event.bind', { ...deal, auth_type: authType })
  await call('event.bind', deal, { user: 2 })
  await call('event.bind', { ...deal, event_type: 'offline' })
  const rows: Array<[title: string, params: object, user: number, count: number]> = [
    ['another URL', { ...deal, handler: `${HANDLER}/` }, 1, 0],
    ['those of one user', { ...deal, auth_type: 7 }, 1, 1],
    ['his own', deal, 2, 1],
    ['those of all', deal, 1, 2],
    ['the offline one', { event: 'ONCRMDEALADD', event_type: 'offline' }, 1, 1],
    ['nothing', deal, 1, 0]
  ]
  for (const [title, params, user, count] of rows) {
    t.match(await call('event.unbind', params, { user }), { status: 200, body: { result: { count } } }, title)
  }
  t.match(await call('event.unbind', { ...deal, event_type: 'offline' }, { user: 2 }), { status: 403, body: { error: 'ACCESS_DENIED' } })
  t.strictSame((await call('event.get')).body.result, [])
})

t.test('sends what is bound, to whoever bound it', async t => {
  const { portal, call, url, posts } = await buildRest(t)
  t.strictSame(await portal.change(2, 5), [], 'nothing is bound')
  await call('event.bind', { event: 'onCrmDealUpdate', handler: url })
  await call('event.bind', { event: 'onCrmDealUpdate', handler: url, auth_type: 7 })
  await call('event.bind', { event: 'onCrmDynamicItemUpdate', handler: url })
  await call('event.bind', { event: 'onCrmDynamicItemUpdate_1220', handler: url })
  const deliveries = await portal.change(2, 5, { title: 'x' }, { userId: 3 })
  t.strictSame(deliveries.map(({ statusCode }) => statusCode), [200, 200])
  const seen = posts.map(post => [post.get('event'), post.get('data[FIELDS][ID]'), post.get('auth[user_id]')]).sort()
  t.strictSame(seen, [['ONCRMDEALUPDATE', '5', '3'], ['ONCRMDEALUPDATE', '5', '7']])
  t.not(posts[0]?.get('event_handler_id'), posts[1]?.get('event_handler_id'))
  t.equal(posts[0]?.get('auth[application_token]'), portal.applicationToken)

  posts.length = 0
  await portal.change(1220, 24, {}, { userId: null })
  t.strictSame(posts.map(post => [post.get('event'), post.get('data[FIELDS][ENTITY_TYPE_ID]'), post.get('auth[access_token]')]).sort(), [
    ['ONCRMDYNAMICITEMUPDATE', '1220', null], ['ONCRMDYNAMICITEMUPDATE_1220', '1220', null]
  ])
})

t.test('sends nothing while the app is not there', async t => {
  const { portal, call, url } = await buildRest(t)
  await call('event.bind', { event: 'onCrmDealUpdate', handler: url })
  await call('event.bind', { event: 'onCrmDealUpdate', event_type: 'offline' })
  const states: Array<[title: string, enter: () => void, leave: () => void]> = [
    ['not installed', () => { portal.installed = false }, () => { portal.installed = true }],
    ['not paid', () => { portal.paid = false }, () => { portal.paid = true }],
    ['deleted', () => { portal.deleted = true }, () => { portal.deleted = false }],
    ['removed', () => { portal.removedApps.add(CLIENT_ID) }, () => { portal.removedApps.clear() }]
  ]
  for (const [title, enter, leave] of states) {
    enter()
    t.equal((await portal.change(2, 1)).length, 0, title)
    leave()
  }
  t.equal(portal.offlineEvents.rows.length, 0, 'nor is it queued')
  t.equal((await portal.change(2, 1)).length, 1)
  await portal.install(url)
  t.match((await call<object[]>('event.get')).body.result?.at(-1), { event: 'ONAPPINSTALL', handler: url }, 'bound by itself')
  await portal.uninstall()
  t.strictSame(portal.bindings.find({}), [], 'an uninstall takes the bindings')
  t.strictSame(portal.offlineEvents.rows, [], 'and what waits')
})

t.test('tests a handler', async t => {
  const { portal, call, url, posts } = await buildRest(t)
  await call('event.bind', { event: 'onAppTest', handler: url })
  t.match(await call('event.test', { any: 'thing' }), { body: { result: 1 } })
  await portal.settled()
  const [post] = posts
  t.match(Object.fromEntries(post ?? []), { event: 'ONAPPTEST', 'data[QUERY][any]': 'thing', 'data[LANGUAGE_ID]': 'en', 'auth[refresh_token]': /./ })
  t.notOk(post?.has('data[QUERY][auth]'))
})

t.test('changes items by REST, and tells of it', async t => {
  const world = await buildRest(t)
  const { portal, call, url, posts } = world
  for (const [type, name] of [[1, 'Lead'], [2, 'Deal'], [3, 'Contact'], [4, 'Company'], [7, 'Quote'], [31, 'DynamicItem'], [1220, 'DynamicItem']] as const) {
    portal.items.addType(type, 'Orders')
    for (const change of ['Add', 'Update', 'Delete']) await call('event.bind', { event: `onCrm${name}${change}`, handler: url })
    t.match((await call('crm.item.add', { entityTypeId: type, fields: { title: 'New' } })).body.result, { item: { id: 1, title: 'New', entityTypeId: type } })
    t.match((await call('crm.item.update', { entityTypeId: type, id: 1, fields: { title: 'Newer' } })).body.result, { item: { id: 1, title: 'Newer' } })
    t.match((await call('crm.item.get', { entityTypeId: type, id: 1 })).body.result, { item: { title: 'Newer' } })
    t.match((await call('crm.item.delete', { entityTypeId: type, id: 1 })).body.result, [])
    t.match(await call('crm.item.delete', { entityTypeId: type, id: 1 }), { status: 400, body: { error: 'NOT_FOUND' } })
    t.strictSame(await eventsOf(world), ['Add', 'Delete', 'Update'].map(change => `ONCRM${name}${change}`.toUpperCase()))
    posts.length = 0
  }
  t.match((await call('crm.type.list')).body, { result: { types: [{ entityTypeId: 1220, title: 'Orders' }] }, total: 1 })
})

t.test('lists items by pages, filtered and ordered', async t => {
  const { portal, call } = await buildRest(t)
  for (let id = 1; id <= 120; id++) portal.items.put(2, id, { stage: id % 2 === 0 ? 'WON' : 'NEW', sum: id * 10, title: undefined })
  const list = async (params: object) => {
    const { body } = await call<{ items: Array<{ id: number }> }>('crm.item.list', { entityTypeId: 2, ...params })
    return { ...body, items: body.result?.items ?? [] }
  }
  const idsOf = ({ items }: { items: Array<{ id: number }> }) => items.map(({ id }) => id)
  t.match(await list({}), { total: 120, next: 50 })
  const last = await list({ start: 100 })
  t.equal(last.next, undefined)
  t.equal(idsOf(last).length, 20)
  const uncounted = await list({ start: -1 })
  t.strictSame([uncounted.total, uncounted.next, idsOf(uncounted).length], [undefined, undefined, 50])
  const rows: Array<[params: object, ids: number[]]> = [
    [{ filter: { stage: 'WON', '<id': 7 } }, [2, 4, 6]],
    [{ filter: { '>=sum': 1190 }, order: { id: 'desc' } }, [120, 119]],
    [{ filter: { '>id': 118, '<=id': '119' } }, [119]],
    [{ filter: { '@id': [3, 1], '!id': 3 } }, [1]],
    [{ filter: { '<id': 5, '!=stage': 'WON' }, order: { stage: 'ASC', id: 'DESC' } }, [3, 1]],
    [{ filter: { '<id': 5 }, order: { stage: 'DESC' } }, [2, 4, 1, 3]],
    [{ filter: { title: 'none' } }, []]
  ]
  for (const [params, ids] of rows) t.strictSame(idsOf(await list(params)), ids, JSON.stringify(params))
  t.strictSame((await list({ filter: { id: 1 }, select: ['sum'] })).items, [{ id: 1, sum: 10 }])
  t.match((await list({ filter: { id: 1 }, select: ['*'] })).items, [{ id: 1, stage: 'NEW' }])
})

t.test('keeps the bindings of two apps apart', async t => {
  const { b24, portal, call, url, posts } = await buildRest(t)
  b24.app({ clientId: 'local.theirs', clientSecret: secret() })
  const { accessToken } = portal.issue({ clientId: 'local.theirs' })
  t.match(await call('event.bind', { event: 'onCrmDealUpdate', handler: url }, { token: accessToken }), { status: 200 })
  t.strictSame((await call('event.get')).body.result, [])
  await portal.change(2, 1)
  t.equal(posts.length, 0, 'the simulator delivers to its own app only')
})

async function eventsOf ({ portal, posts }: RestWorld): Promise<string[]> {
  await portal.settled()
  return posts.map(post => post.get('event') ?? '').sort()
}
