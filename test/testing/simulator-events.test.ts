import t from 'tap'
import { buildRest, CLIENT_ID, type RestWorld } from '../helpers/rest-world.ts'
import { secret } from '../helpers/secrets.ts'

const HANDLER = 'https://app.example/events'

t.test('binds an event, once', async t => {
  const { portal, call } = await buildRest(t)
  const deal = { event: 'onCrmDealAdd', handler: HANDLER }
  portal.items.addType(1220)
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
    ['one of a type that is not there', { ...deal, event: 'onCrmDynamicItemAdd_999' }, 1, 400, 'ERROR_EVENT_NOT_FOUND'],
    ['one whose events have no types', { ...deal, event: 'onCrmDealAdd_1220' }, 1, 400, 'ERROR_EVENT_NOT_FOUND'],
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
  portal.items.addType(1220)
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
  for (let id = 1; id <= 120; id++) portal.items.set(2, id, { stage: id % 2 === 0 ? 'WON' : 'NEW', sum: id * 10, title: undefined })
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
  t.strictSame([uncounted.total, uncounted.next, idsOf(uncounted).length], [0, undefined, 50])
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

t.test('knows which permission lets an app have an event', async t => {
  const { portal, call } = await buildRest(t)
  const cases: Array<[event: string, scopes: string[], others: string[]]> = [
    ['onSonetGroupAdd', ['sonet_group'], ['sonet', 'crm']],
    ['onImConnectorMessageAdd', ['imopenlines'], ['imconnector']],
    ['onUserAdd', ['user', 'user_basic', 'user_brief'], ['user.userfield', 'crm']],
    ['onCalendarRoomCreate', ['calendar'], ['crm']],
    ['main.on.user.type.add', ['userfieldconfig'], ['user']],
    ['onSubscriptionRenew', ['crm'], []],
    ['onImV2MessageAdd', [], ['im', 'imbot']]
  ]
  for (const [event, scopes, others] of cases) {
    for (const scope of [...scopes, ...others]) {
      portal.scope = [scope]
      portal.bindings.remove({})
      const answer = await call('event.bind', { event, handler: HANDLER })
      t.match(answer, scopes.includes(scope) ? { status: 200 } : { status: 400, body: { error: 'ERROR_EVENT_NOT_FOUND' } }, `${event} with ${scope}`)
      t.equal((await call<string[]>('events')).body.result?.includes(event.toUpperCase()), scopes.includes(scope))
    }
  }
  t.notOk((await call<string[]>('events', { full: 1 })).body.result?.some(code => code.startsWith('ONIMV2')))
  for (const scope of ['user', 'user_basic', 'user_brief']) {
    portal.scope = [scope]
    for (const method of ['user.current', 'user.get']) t.equal((await call(method)).status, 200, `${method} with ${scope}`)
  }
  portal.scope = ['crm']
  t.match(await call('user.current'), { status: 403, body: { error: 'insufficient_scope' } })
})

t.test('has codes for the types that are there', async t => {
  const { portal, call } = await buildRest(t)
  portal.items.addType(147)
  const codes = (await call<string[]>('events', { scope: 'crm' })).body.result!.filter(code => code.startsWith('ONCRMDYNAMICITEMADD'))
  t.strictSame(codes, ['ONCRMDYNAMICITEMADD', 'ONCRMDYNAMICITEMADD_31', 'ONCRMDYNAMICITEMADD_147'])
  for (const [type, status] of [[147, 200], [31, 200], [999, 400], [2, 400]] as const) {
    t.equal((await call('event.bind', { event: `onCrmDynamicItemAdd_${type}`, event_type: 'offline' })).status, status, String(type))
  }
})

t.test('nothing happens when nothing changes', async t => {
  const { portal, call, url, posts } = await buildRest(t)
  await call('event.bind', { event: 'onCrmDealUpdate', handler: url })
  const old = '2026-01-01T00:00:00+00:00'
  portal.items.set(2, 5, { title: 'same', opportunity: 100, isManualOpportunity: 'Y', contactIds: [1, 2], comments: null, updatedTime: old })
  const same = { title: 'same', opportunity: '100', isManualOpportunity: true, contactIds: ['1', '2'], comments: '' }
  t.strictSame(await portal.change(2, 5, same), [])
  t.match(await call('crm.item.update', { entityTypeId: 2, id: 5, fields: { ...same, id: 9, updatedTime: 'x' } }), { status: 200, body: { result: { item: { id: 5 } } } })
  t.match(await call('crm.item.update', { entityTypeId: 2, id: 5, fields: { ...same, isManualOpportunity: 'Y' } }, { as: 'form' }), { status: 200 })
  t.match(await call('crm.item.update', { entityTypeId: 2, id: 5 }), { status: 200 })
  portal.items.set(2, 5, same)
  await portal.settled()
  t.equal(posts.length, 0)
  t.match(portal.items.get(2, 5), { updatedTime: old, opportunity: 100 })

  for (const fields of [{ title: 'other' }, { contactIds: [1] }, { comments: 'x' }, {}]) {
    posts.length = 0
    portal.items.set(2, 5, { updatedTime: old })
    t.equal((await portal.change(2, 5, fields)).length, 1, JSON.stringify(fields))
    t.not(portal.items.get(2, 5)?.['updatedTime'], old)
  }
})

t.test('a change makes an item that is not there, which is an event too', async t => {
  const { portal, call, url, posts } = await buildRest(t)
  for (const change of ['Add', 'Update']) await call('event.bind', { event: `onCrmDeal${change}`, event_type: 'offline' })
  await portal.change(2, 5, { title: 'x' })
  await portal.change(2, 5, { title: 'y' })
  await portal.change(2, 6)
  await portal.change(2, 7, { title: 'Item 7' })
  t.strictSame(portal.offlineEvents.rows.map(({ event, data }) => [event, (data as { FIELDS: { ID: number } }).FIELDS.ID]), [
    ['ONCRMDEALADD', 5], ['ONCRMDEALUPDATE', 5], ['ONCRMDEALADD', 6], ['ONCRMDEALUPDATE', 6], ['ONCRMDEALADD', 7]
  ])
  t.match(portal.items.get(2, 5), { title: 'y' })
  await call('event.bind', { event: 'onCrmDealAdd', handler: url })
  t.equal((await portal.change(2, 8, { title: 'x' })).length, 1)
  t.strictSame(posts.map(post => [post.get('event'), post.get('data[FIELDS][ID]')]), [['ONCRMDEALADD', '8']])
  portal.items.delete(2, 8)
  t.match((await call('crm.item.add', { entityTypeId: 2 })).body.result, { item: { id: 9 } }, 'no id is given again')
})

t.test('events of chats are fetched', async t => {
  const { portal, call, posts, url } = await buildRest(t)
  portal.scope = ['im', 'crm']
  await portal.install(url)
  posts.length = 0
  const get = async (params: object = {}, user = 1) => (await call<{ events: Array<{ eventId: number }>, nextOffset: number, hasMore: boolean }>('im.v2.Event.get', params, { user })).body.result!
  const message = { code: 'onImV2MessageAdd', data: { message: { id: 1 }, chat: { id: 2 } } }
  await portal.emit(message)
  t.strictSame(await get(), { events: [], nextOffset: 0, hasMore: false })
  t.match(await call('im.v2.Event.subscribe'), { status: 200, body: { result: true } })
  t.strictSame(await portal.emit(message), [])
  const { events, nextOffset } = await get({ limit: 10 })
  t.match(events, [{ eventId: Number, type: 'ONIMV2MESSAGEADD', date: /^\d{4}-.*\+00:00$/, data: message.data }])
  t.equal(nextOffset, events[0]!.eventId + 1)
  t.strictSame(await get({}, 2), { events: [], nextOffset: 0, hasMore: false }, 'of another user')
  t.strictSame((await get({ offset: nextOffset })).events, [])
  t.match(await call('im.v2.Event.unsubscribe'), { status: 200, body: { result: true } })
  await portal.emit(message)
  t.strictSame((await get()).events, [])
  t.equal(posts.length, 0, 'and never posted')
  portal.scope = ['crm']
  t.match(await call('im.v2.Event.get'), { status: 403, body: { error: 'insufficient_scope' } })
})

async function eventsOf ({ portal, posts }: RestWorld): Promise<string[]> {
  await portal.settled()
  return posts.map(post => post.get('event') ?? '').sort()
}
