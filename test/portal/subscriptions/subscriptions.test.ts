import t, { type Test } from 'tap'
import { outcomeOfErrors } from '../../../src/delivery/dispatch.ts'
import { FST_B24_INVALID_OPTIONS } from '../../../src/errors.ts'
import { HandlerRegistry } from '../../../src/events/handlers.ts'
import type { Binding } from '../../../src/testing/portal/event-bus.ts'
import { openSubscriptions } from '../../../src/portal/subscriptions/open-subscriptions.ts'
import { Subscriptions, type SubscriptionsParts } from '../../../src/portal/subscriptions/subscriptions.ts'
import {
  checkPublicUrl, checkSubscriptions, handlerUrlOf, type SubscriptionOptions, wantedEvents
} from '../../../src/portal/subscriptions/wanted-events.ts'
import type { SimulatedPortal } from '../../../src/testing/index.ts'
import { methodsOf, openPortalWorld } from '../../helpers/portal-world.ts'

const URL = 'https://app.example.com/bitrix24/events'
const OTHER = 'https://other.example.com/hook'
const WRITES = ['event.bind', 'event.unbind']

async function setup (t: Test, { options = {}, listen = ['onCrmDealUpdate', 'onTaskAdd'], publicUrl = 'https://app.example.com' }: { options?: SubscriptionOptions, listen?: string[], publicUrl?: string | undefined } = {}) {
  const { world, rest, install } = await openPortalWorld(t)
  const handlers = new HandlerRegistry<object>({ warn: () => {} })
  for (const name of listen) handlers.on(name, () => {})
  const logs: unknown[][] = []
  const log = { info: (...line: unknown[]) => logs.push(line), warn: (...line: unknown[]) => logs.push(line) }
  const opened = openSubscriptions({ rest, store: world.place.store, handlers, publicUrl, prefix: '/bitrix24', options, log })
  const [portal] = await install() as [SimulatedPortal]
  const { clientId } = world.settings
  const bind = (event: string, binding: Partial<Binding> = {}) => {
    portal.bindings.add({ clientId, event, handler: URL, userId: 0, offline: false, connector: '', ...binding })
  }
  const bound = () => portal.bindings.find({ clientId }).map(({ event, handler, userId, offline, connector }) => (
    [event, offline ? `offline ${connector}`.trim() : handler === URL ? 'ours' : handler, ...(userId === 0 ? [] : [userId])].join(' ')
  )).sort()
  const sync = async (how = {}) => await opened.subscriptions.sync(portal.memberId, how)
  return { ...opened, subscribe: opened.subscribe!, world, rest, handlers, portal, bind, bound, sync, logs, install }
}

const BASE = ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONCRMDEALUPDATE ours', 'ONTASKADD ours']

t.test('binds what handlers name and the plugin needs; a second sync changes nothing', async t => {
  const { portal, bound, sync } = await setup(t)
  const { memberId, domain } = portal
  t.strictSame(await sync(), {
    memberId, domain, bound: ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE', 'ONTASKADD'], unbound: [], unchanged: 0, refused: []
  })
  t.strictSame(bound(), BASE)
  t.strictSame(portal.calls.map(({ method }) => method), ['event.get', 'batch'])
  portal.calls.length = 0
  t.strictSame(await sync(), { memberId, domain, bound: [], unbound: [], unchanged: 4, refused: [] })
  t.strictSame(methodsOf(portal), ['event.get'])
})

t.test('unbinds what no handler names any more, and leaves others\' bindings alone', async t => {
  const { bind, bound, sync } = await setup(t)
  bind('ONCRMLEADADD')
  bind('ONCRMLEADADD', { handler: OTHER })
  bind('ONCRMLEADADD', { handler: `${URL}/` })
  bind('ONCRMLEADADD', { offline: true, handler: '' })
  bind('ONCRMDEALUPDATE', { clientId: 'local.another', handler: URL })
  t.match(await sync(), { unbound: ['ONCRMLEADADD'], refused: [] })
  t.strictSame(bound(), [...BASE, `ONCRMLEADADD ${URL}/`, `ONCRMLEADADD ${OTHER}`, 'ONCRMLEADADD offline'].sort())
})

t.test('syncs a portal whose responses have objects in place of strings', async t => {
  const { portal, sync, handlers } = await setup(t)
  const odd = { toString: 1 }
  handlers.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: 147 }, () => {})
  portal.stub('event.get', () => [{ event: 'ONTASKADD', handler: odd, auth_type: odd, offline: odd, connector_id: odd }, { event: odd }, null])
  portal.stub('events', () => [odd, null, 'ONCRMDEALUPDATE'])
  t.match(await sync(), { bound: ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE', 'ONTASKADD', 'ONCRMDYNAMICITEMUPDATE'], error: undefined })
})

t.test('leaves bindings made by Bitrix24 and by bots alone', async t => {
  const { portal, bind, bound, sync } = await setup(t, { listen: ['onAppInstall', 'onAppUserReady', 'onImBotMessageAdd', 'onCrmDealUpdate', 'onTaskAdd'] })
  for (const event of ['ONAPPINSTALL', 'ONAPPUSERREADY', 'ONIMBOTMESSAGEADD', 'ONIMBOTJOINCHAT']) bind(event)
  t.match(await sync(), { bound: { length: 4 }, unbound: [], refused: [] })
  t.strictSame(bound(), [...BASE, 'ONAPPINSTALL ours', 'ONAPPUSERREADY ours', 'ONIMBOTJOINCHAT ours', 'ONIMBOTMESSAGEADD ours'].sort())
  portal.calls.length = 0
  t.match(await sync(), { bound: [], unbound: [] })
  t.strictSame(methodsOf(portal), ['event.get'])
})

t.test('a dry run reports changes and makes none', async t => {
  const { portal, bind, bound, sync } = await setup(t)
  bind('ONCRMLEADADD')
  bind('ONTASKADD')
  t.match(await sync({ dryRun: true }), { bound: ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE'], unbound: ['ONCRMLEADADD'], unchanged: 1 })
  t.strictSame(bound(), ['ONCRMLEADADD ours', 'ONTASKADD ours'])
  t.strictSame(methodsOf(portal), ['event.get', 'events'])
})

t.test('a dry run reports the same refusals as the sync', async t => {
  const { portal, bind, sync } = await setup(t, { listen: ['onCrmDealUpdate', 'onCalendarEntryAdd', 'onNoSuchThing'] })
  const refused = [{ event: 'ONCALENDARENTRYADD', code: 'ERROR_EVENT_NOT_FOUND' }, { event: 'ONNOSUCHTHING', code: 'ERROR_EVENT_NOT_FOUND' }]
  const plan = await sync({ dryRun: true })
  t.match(plan, { bound: ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE'], refused })
  const { bound, refused: later } = await sync()
  t.strictSame([bound, later], [plan.bound, refused])
  bind('ONCALENDARENTRYADD')
  bind('ONNOSUCHTHING')
  portal.calls.length = 0
  t.match(await sync({ dryRun: true }), { bound: [], refused: [] })
  t.strictSame(methodsOf(portal), ['event.get'], 'nothing is asked where nothing is to be bound')
  portal.bindings.remove({ event: 'ONCALENDARENTRYADD' })
  portal.fault('events', { status: 403, body: { error: 'ACCESS_DENIED', error_description: 'no' }, times: 1 })
  t.match(await sync({ dryRun: true }), { bound: ['ONCALENDARENTRYADD'], refused: [], error: undefined }, 'a portal that lists nothing')
  portal.fault('events', { status: 200, body: { result: null, time: { start: 1, finish: 1, duration: 0 } }, times: 1 })
  t.match(await sync({ dryRun: true }), { bound: ['ONCALENDARENTRYADD'], refused: [] })
})

t.test('a filter on types binds the events of these types if the portal has all of them', async t => {
  const { portal, handlers, bound, sync } = await setup(t, { listen: [] })
  portal.items.addType(1220)
  const items = () => bound().filter(line => line.includes('DYNAMIC'))
  const first = () => {}
  const second = () => {}
  handlers.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: 1220 }, first)
  await sync()
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE_1220 ours'])
  handlers.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: [1220, 1224] }, second)
  t.match(await sync(), { bound: ['ONCRMDYNAMICITEMUPDATE'], unbound: ['ONCRMDYNAMICITEMUPDATE_1220'] }, 'one type is not known there')
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE ours'])
  portal.items.addType(1224)
  await sync()
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE_1220 ours', 'ONCRMDYNAMICITEMUPDATE_1224 ours'])
  const all = () => {}
  handlers.on('onCrmDynamicItemUpdate', all)
  await sync()
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE ours'], 'a handler without a filter wants all')
  handlers.off('onCrmDynamicItemUpdate', all)
  handlers.off('onCrmDynamicItemUpdate', second)
  portal.fault('batch', { status: 200, body: { result: { result: [], result_error: { c0: { error: 'ERROR_EVENT_NOT_FOUND' } } }, time: { start: 1, finish: 1, duration: 0 } }, times: 1 })
  t.match(await sync(), { unbound: [], refused: [{ event: 'ONCRMDYNAMICITEMUPDATE_1220' }] })
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE ours'], 'what cannot be replaced stays')
  await sync()
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE_1220 ours'])
  handlers.on('onCrmDynamicItemUpdate', { ID: 5 }, second)
  await sync()
  t.strictSame(items(), ['ONCRMDYNAMICITEMUPDATE ours'], 'another filter names no type')
})

t.test('unbinds former handler URLs and no others', async t => {
  const { world, rest, handlers, portal, bind, bound, sync } = await setup(t)
  await sync()
  bind('ONTASKADD', { handler: 'https://another.example.com/bitrix24/events' })
  const log = { info: () => {}, warn: () => {} }
  const at = (publicUrl: string) => openSubscriptions({ rest, store: world.place.store, handlers, publicUrl, prefix: '/bitrix24', options: {}, log }).subscriptions
  // The first move is interrupted.
  portal.fault('batch', { status: 502, body: '', times: 1 })
  t.match(await at('https://second.example.com').sync(portal.memberId), { error: {} })
  bind('ONTASKADD', { handler: 'https://second.example.com/bitrix24/events' })
  t.match(await at('https://third.example.com').sync(portal.memberId), { bound: { length: 4 }, unbound: { length: 5 } })
  t.strictSame(bound(), [
    ...BASE.map(line => line.replace('ours', 'https://third.example.com/bitrix24/events')), 'ONTASKADD https://another.example.com/bitrix24/events'
  ].sort())
})

t.test('does not bind fetched events', async t => {
  const { bound, sync } = await setup(t, { listen: ['onImV2MessageAdd', 'onTaskAdd'] })
  t.match(await sync(), { refused: [] })
  t.strictSame(bound(), ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONTASKADD ours'])
})

t.test('reports events outside the scope or unknown, and continues', async t => {
  const { portal, bound, sync } = await setup(t, { listen: ['onCrmDealUpdate', 'onTaskAdd', 'onCalendarEntryAdd', 'onNoSuchThing'] })
  t.match(await sync(), {
    bound: { length: 4 },
    refused: [{ event: 'ONCALENDARENTRYADD', code: 'ERROR_EVENT_NOT_FOUND' }, { event: 'ONNOSUCHTHING', code: 'ERROR_EVENT_NOT_FOUND' }],
    error: undefined
  })
  t.strictSame(bound(), BASE)
  portal.scope.push('calendar')
  t.match(await sync(), { bound: ['ONCALENDARENTRYADD'], refused: [{ event: 'ONNOSUCHTHING' }] })
})

t.test('binds a code with a type suffix as registered', async t => {
  const { portal, bound, sync } = await setup(t, { listen: ['onCrmDynamicItemUpdate', 'ONCRMDYNAMICITEMADD_1220'] })
  portal.items.addType(1220)
  await sync()
  t.strictSame(bound(), ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONCRMDYNAMICITEMADD_1220 ours', 'ONCRMDYNAMICITEMUPDATE ours'])
})

t.test('onAny and removed handlers bind nothing', async t => {
  const { handlers, bound, sync } = await setup(t, { listen: [] })
  const handler = () => {}
  handlers.onAny(handler)
  handlers.on(['onTaskAdd', 'onTaskUpdate'], handler)
  t.strictSame(handlers.codes, ['ONTASKADD', 'ONTASKUPDATE'])
  handlers.off('onTaskUpdate', handler)
  await sync()
  t.strictSame(bound(), ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONTASKADD ours'])
  handlers.off('onTaskAdd', handler)
  t.match(await sync(), { unbound: ['ONTASKADD'] })
})

t.test('an event bound concurrently counts as bound', async t => {
  const { portal, bind, bound, sync } = await setup(t)
  portal.fault('event.get', { body: { result: [], time: { start: 1, finish: 1, duration: 0 } }, times: 1 })
  bind('ONTASKADD')
  t.match(await sync(), { bound: { length: 4 }, refused: [], error: undefined })
  t.strictSame(bound(), BASE)
})

t.test('binds with the tokens of one user', async t => {
  const { portal, bind, bound, sync } = await setup(t, { options: { authType: 1 }, listen: ['onTaskAdd'] })
  bind('ONTASKADD')
  bind('ONTASKADD', { userId: 7 })
  t.match(await sync(), { bound: { length: 3 }, unbound: ['ONTASKADD', 'ONTASKADD'] })
  t.strictSame(bound(), ['ONAPPUNINSTALL ours 1', 'ONAPPUPDATE ours 1', 'ONTASKADD ours 1'])
  portal.calls.length = 0
  await sync()
  t.strictSame(methodsOf(portal), ['event.get'])
})

t.test('an admin rebinds what is bound to one user', async t => {
  const { bind, bound, sync } = await setup(t)
  bind('ONTASKADD', { userId: 7 })
  t.match(await sync(), { bound: { length: 4 }, unbound: ['ONTASKADD'] })
  t.strictSame(bound(), BASE)
})

t.test('a user who is not an admin binds in their own name, once', async t => {
  const { portal, bound, sync } = await setup(t, { listen: ['onTaskAdd'] })
  portal.user(1, { admin: false })
  await sync()
  t.strictSame(bound(), ['ONAPPUNINSTALL ours 1', 'ONAPPUPDATE ours 1', 'ONTASKADD ours 1'])
  portal.calls.length = 0
  t.match(await sync(), { bound: [], unbound: [], unchanged: 3 })
  t.strictSame(methodsOf(portal), ['event.get', 'profile'])
})

t.test('a user who is not an admin leaves bindings of others alone', async t => {
  const { portal, bind, bound, sync } = await setup(t, { options: { authType: 7 }, listen: ['onTaskAdd'] })
  portal.user(1, { admin: false })
  bind('ONTASKADD', { userId: 1 })
  t.match(await sync(), { bound: [], unbound: [], refused: [{ code: 'ACCESS_DENIED' }, { code: 'ACCESS_DENIED' }, { event: 'ONTASKADD', code: 'ACCESS_DENIED' }] })
  t.strictSame(bound(), ['ONTASKADD ours 1'])
})

t.test('offline events are bound in place of posted ones, with the notification', async t => {
  const { portal, bind, bound, sync } = await setup(t, { options: { offline: true } })
  bind('ONTASKADD')
  bind('ONCRMLEADADD', { offline: true, handler: '', connector: '' })
  bind('ONCRMLEADADD', { offline: true, handler: '', connector: 'theirs' })
  t.match(await sync(), {
    bound: ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONOFFLINEEVENT', 'ONCRMDEALUPDATE (offline)', 'ONTASKADD (offline)'], unbound: ['ONTASKADD', 'ONCRMLEADADD (offline)']
  })
  t.strictSame(bound(), ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONCRMDEALUPDATE offline', 'ONCRMLEADADD offline theirs', 'ONOFFLINEEVENT ours', 'ONTASKADD offline'])
  portal.calls.length = 0
  t.match(await sync(), { bound: [], unbound: [], unchanged: 5 })
  t.strictSame(methodsOf(portal), ['event.get'])
})

t.test('offline events in a named queue', async t => {
  const { portal, bound, sync } = await setup(t, { options: { offline: ['onTaskAdd'], authConnector: 'mine' } })
  await sync()
  const all = ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONCRMDEALUPDATE ours', 'ONOFFLINEEVENT ours', 'ONTASKADD offline mine']
  t.strictSame(bound(), all)
  t.strictSame(portal.calls.map(({ method, inBody }) => [method, inBody.includes('auth_connector')]), [['event.get', false], ['batch', false], ['batch', true]])
  t.match(await sync(), { bound: [], unchanged: 5 })
})

t.test('keeps posted events if offline bindings are refused', async t => {
  for (const prepare of [
    (portal: SimulatedPortal) => portal.features.delete('rest_auth_connector'),
    (portal: SimulatedPortal) => portal.fault('batch', { status: 403, body: { error: 'WRONG_LICENSE', error_description: 'auth_connector' }, times: 1 })
  ]) {
    const { portal, bind, bound, sync } = await setup(t, { options: { offline: ['onTaskAdd'], authConnector: 'mine' }, listen: [] })
    for (const event of ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONOFFLINEEVENT', 'ONTASKADD']) bind(event)
    prepare(portal)
    t.match(await sync(), { bound: [], unbound: [], refused: [{ event: 'ONTASKADD (offline)', code: 'WRONG_LICENSE' }], error: undefined })
    t.strictSame(bound(), ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONOFFLINEEVENT ours', 'ONTASKADD ours'])
  }
})

t.test('`offline: false` removes offline bindings; without the option they are left alone', async t => {
  const { bind, bound, sync } = await setup(t, { options: { offline: false }, listen: ['onTaskAdd'] })
  bind('ONTASKADD', { offline: true, handler: '' })
  bind('ONOFFLINEEVENT')
  t.match(await sync(), { unbound: ['ONTASKADD (offline)', 'ONOFFLINEEVENT'] })
  t.strictSame(bound(), ['ONAPPUNINSTALL ours', 'ONAPPUPDATE ours', 'ONTASKADD ours'])
})

t.test('splits more than fifty changes into several calls', async t => {
  const types = Array.from({ length: 60 }, (_, index) => 1000 + index * 2)
  const { portal, bound, sync } = await setup(t, { listen: types.map(type => `ONCRMDYNAMICITEMADD_${type}`) })
  for (const type of types) portal.items.addType(type)
  await sync()
  t.equal(bound().length, 62)
  t.strictSame(portal.calls.map(({ commands }) => commands?.length ?? 0), [0, 50, 12])
})

t.test('errors of a portal are in its report, without secrets', async t => {
  const { world, portal, sync } = await setup(t)
  const reports: unknown[] = []
  const cases: Array<[goWrong: () => void, code: string]> = [
    [() => portal.fault('event.get', { status: 502, body: '<h1>Bad gateway</h1>', times: 1 }), 'FST_B24_PORTAL_UNAVAILABLE'],
    [() => portal.fault('batch', { status: 403, body: { error: 'INVALID_CREDENTIALS', error_description: 'no' }, times: 1 }), 'INVALID_CREDENTIALS'],
    [() => { portal.paid = false }, 'ACCESS_DENIED'],
    // From now on the portal is suspended.
    [() => {}, 'FST_B24_PORTAL_SUSPENDED']
  ]
  for (const [goWrong, code] of cases) {
    goWrong()
    const report = await sync()
    t.match(report, { bound: [], error: { code, message: String } })
    reports.push(report)
  }
  t.notOk(world.b24.secrets().some(secret => JSON.stringify(reports).includes(secret)))
})

t.test('malformed responses of a portal', async t => {
  const answers: Record<string, unknown> = {
    'event.get': [null, 'x', { event: 5 }, { event: 'onTaskAdd', handler: URL, auth_type: 3 }],
    profile: undefined,
    batch: { result: { c0: false }, result_error: [] }
  }
  const parts: SubscriptionsParts = {
    rest: { call: async (_memberId: string, method: string) => answers[method] as never },
    store: { get: async () => undefined, swap: async () => true },
    wanted: () => [{ event: 'ONTASKADD' }],
    handlerUrl: URL
  }
  const subscriptions = new Subscriptions(parts)
  t.match(await subscriptions.sync('m'), { domain: '', bound: [], unbound: [], refused: [{ event: 'ONTASKADD', code: 'NOT_BOUND' }] })
  answers['event.get'] = null
  answers['batch'] = {}
  t.match(await subscriptions.sync('m'), { bound: ['ONTASKADD'], refused: [] })
  const broken = new Subscriptions({ ...parts, rest: { call: async () => { throw new Error('broken') } } })
  t.match(await broken.sync('m'), { error: { code: 'FST_B24_INTERNAL', message: 'broken' } })
})

t.test('requires publicUrl', async t => {
  const { rest, world, handlers, portal, subscribe } = await setup(t)
  const log = { info: () => {}, warn: () => {} }
  const none = openSubscriptions({ rest, store: world.place.store, handlers, publicUrl: undefined, prefix: '', options: {}, log })
  await t.rejects(none.subscriptions.sync(portal.memberId), { code: 'FST_B24_NO_PUBLIC_URL', statusCode: 500 })
  await t.rejects(none.syncFleet(), { code: 'FST_B24_NO_PUBLIC_URL' })
  t.equal(none.subscribe, undefined)
  const empty = openSubscriptions({ rest, store: { ...world.place.store, scan: async () => ({ installs: [] }) }, handlers, publicUrl: undefined, prefix: '', options: {}, log })
  await t.rejects(empty.syncFleet(), { code: 'FST_B24_NO_PUBLIC_URL' }, 'also where there is no portal yet')
  t.strictSame(portal.calls, [])
  await subscribe({ portal })
  t.strictSame(methodsOf(portal).filter(method => WRITES.includes(method)).length, 4)
})

t.test('a sync can be aborted', async t => {
  const { portal, sync, syncFleet } = await setup(t)
  await t.rejects(sync({ signal: AbortSignal.abort(new Error('closing')) }), { message: 'closing' })
  await t.rejects(syncFleet({ signal: AbortSignal.abort(new Error('closing')) }), { message: 'closing' })
  portal.fault('event.get', { hang: true, times: 1 })
  await t.rejects(sync({ signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' })
})

t.test('after an install: retries transient errors, logs permanent ones', async t => {
  const { portal, subscribe, logs } = await setup(t, { listen: ['onTaskAdd', 'onNoSuchThing'] })
  portal.fault('event.get', { status: 502, body: '', times: 1 })
  await t.rejects(subscribe({ portal }), { code: 'FST_B24_PORTAL_UNAVAILABLE' })
  await t.resolves(subscribe({ portal }))
  portal.paid = false
  await t.resolves(subscribe({ portal }))
  t.strictSame(logs.map(([, message]) => message), Array(3).fill('portal is not subscribed to all events'))
})

t.test('waiting for a rate-limited portal does not count as an attempt of an install', async t => {
  const { portal, subscribe } = await setup(t)
  portal.fault('event.get', { status: 429, body: { error: 'OPERATION_TIME_LIMIT', time: { finish: 1_000, operating_reset_at: 1_090 } }, times: 1 })
  const error = await subscribe({ portal }).catch((error: unknown) => error)
  t.match(error, { code: 'FST_B24_PORTAL_LIMIT', retryAfterMs: Number })
  t.match(outcomeOfErrors([error as Error], Date.now()), { status: 'later', delayMs: Number })
})

t.test('logs a subscription without refusals', async t => {
  const { portal, subscribe, logs } = await setup(t)
  await subscribe({ portal })
  t.match(logs, [[{ memberId: portal.memberId, bound: { length: 4 } }, 'portal subscribed']])
})

t.test('fleet sync continues past a failing portal and skips portals without access', async t => {
  const { world, portal, install, syncFleet } = await setup(t)
  const [gone, stopped] = await install(3) as [SimulatedPortal, SimulatedPortal]
  portal.paid = false
  await world.change(gone, () => ({ state: 'uninstalled' }))
  await world.change(stopped, () => ({ state: 'reauth_required' }))
  const { reports, skipped, totals } = await syncFleet()
  t.strictSame(totals, { portals: 4, inOrder: 0, failed: 1, skipped: 2, bound: 4, unbound: 0, refused: 0 })
  t.match(reports.find(({ memberId }) => memberId === portal.memberId), { error: { code: 'ACCESS_DENIED' } })
  t.strictSame(skipped.map(({ domain, reason }) => `${domain} ${reason}`).sort(), [`${gone.domain} uninstalled`, `${stopped.domain} reauth_required`])
})

t.test('options of subscriptions', async t => {
  const bad: unknown[] = [null, [], { offline: 'onTaskAdd' }, { offline: [''] }, { offline: [5] }, { authType: 0 }, { authType: 1.5 }, { authType: '1' }, { authConnector: '' }, { ofline: true }]
  for (const options of bad) t.throws(() => checkSubscriptions(options as SubscriptionOptions), FST_B24_INVALID_OPTIONS, JSON.stringify(options))
  for (const options of [{}, { offline: true }, { offline: ['onTaskAdd'], authType: 1, authConnector: 'x' }]) t.doesNotThrow(() => checkSubscriptions(options))
  t.strictSame(wantedEvents({ codes: ['ONAPPUPDATE'] }), [{ event: 'ONAPPUNINSTALL' }, { event: 'ONAPPUPDATE' }])
})

t.test('where portals post events', async t => {
  const cases: Array<[publicUrl: string, prefix: string, url: string]> = [
    ['https://app.example.com', '/bitrix24', 'https://app.example.com/bitrix24/events'],
    ['https://app.example.com/', '/bitrix24', 'https://app.example.com/bitrix24/events'],
    ['https://app.example.com/sub', '/api/bitrix24', 'https://app.example.com/sub/api/bitrix24/events'],
    ['https://app.example.com/bitrix24.app', '/bitrix24', 'https://app.example.com/bitrix24.app/bitrix24/events'],
    ['https://app.example.com/sub', '', 'https://app.example.com/sub/events']
  ]
  for (const [publicUrl, prefix, url] of cases) {
    t.doesNotThrow(() => checkPublicUrl(publicUrl, prefix, false), publicUrl)
    t.equal(handlerUrlOf(publicUrl, prefix), url)
  }
})

t.test('rejects a publicUrl that is invalid or includes the path of the routes', async t => {
  const cases: Array<[publicUrl: unknown, message: RegExp, prefix?: string]> = [
    ['', /must be a URL/],
    [5, /must be a URL/],
    ['app.example.com', /must be a URL/],
    ['ftp://app.example.com', /must start with https/],
    ['https://app.example.com/?a', /no user, query or fragment/],
    ['https://app.example.com/#a', /no user, query or fragment/],
    ['https://u@app.example.com', /no user, query or fragment/],
    [`https://app.example.com/${'x'.repeat(250)}`, /too long/],
    ['https://app.example.com/bitrix24/events', /use 'https:\/\/app\.example\.com'$/],
    ['https://app.example.com/bitrix24/install/', /use 'https:\/\/app\.example\.com'$/],
    ['https://app.example.com/bitrix24', /use 'https:\/\/app\.example\.com'$/],
    ['https://app.example.com/sub/api/bitrix24/events', /use 'https:\/\/app\.example\.com\/sub'$/, '/api/bitrix24'],
    ['https://app.example.com/events', /use 'https:\/\/app\.example\.com'$/, '']
  ]
  for (const [publicUrl, message, prefix = '/bitrix24'] of cases) {
    t.throws(() => checkPublicUrl(publicUrl as string, prefix, true), { code: 'FST_B24_INVALID_OPTIONS', message }, String(publicUrl))
  }
})

t.test('requires a public https publicUrl unless private networks are allowed', async t => {
  for (const publicUrl of ['http://app.example.com', 'http://127.0.0.1:3000', 'http://localhost:3000', 'https://localhost', 'https://10.0.0.5', 'http://[::1]:3000', 'https://app.local']) {
    t.doesNotThrow(() => checkPublicUrl(publicUrl, '/bitrix24', true), publicUrl)
    t.throws(() => checkPublicUrl(publicUrl, '/bitrix24', false), { code: 'FST_B24_INVALID_OPTIONS', message: /require allowPrivateNetworks/ }, publicUrl)
  }
})
