import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FastifyBitrix24Options } from '../../src/index.ts'
import { KeepAlive } from '../../src/portal/tokens/keep-alive.ts'
import { outcome, waitForIdle } from '../../src/testing/index.ts'
import { buildApp, buildWorld, temporaryFolder } from '../helpers/app.ts'
import { freePort } from '../helpers/redis-server.ts'
import { STORAGES } from '../helpers/storages.ts'
import { until } from '../helpers/until.ts'

const PUBLIC = 'https://app.example.com'
const DEAL = 2
const MINUTE_MS = 60_000

async function installed (t: Test, options: Partial<FastifyBitrix24Options>) {
  const { app: { bitrix24 }, b24, clientId, eventsUrl, logs } = await buildWorld(t, options)
  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(eventsUrl)).statusCode, 200)
  await waitForIdle(bitrix24)
  return { bitrix24, b24, clientId, portal, logs, known: async () => (await bitrix24.portal(portal.memberId))! }
}

for (const { storage, options } of STORAGES) {
  t.test(`a handler calls its portal, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const id = (await portal.change(1220, 7, { title: 'first' }), 7)
    const seen: unknown[] = []
    bitrix24.on('onCrmDynamicItemUpdate', async ({ data: { FIELDS } }, { portal, signal }) => {
      const { item } = await portal.call<{ item: { id: number, title: string } }>('crm.item.get', { entityTypeId: FIELDS.ENTITY_TYPE_ID, id: FIELDS.ID }, { signal })
      seen.push(item.title)
    })
    portal.expireTokens()
    await portal.send('onCrmDynamicItemUpdate', { FIELDS: { ID: id, ENTITY_TYPE_ID: 1220 } })
    await waitForIdle(bitrix24)
    t.strictSame(seen, ['first'])

    const mine = await known()
    t.match(await mine.installation(), { isFinished: true, isPaymentExpired: false, version: '1' })
    t.match(await (await mine.client()).actions.v2.call.make({ method: 'profile' }), { isSuccess: true })
    t.match((await mine.batch([['profile', {}], ['scope', {}]])).isSuccess, true)
    const pages: unknown[] = []
    for await (const page of mine.list<{ id: number }>('crm.item.list', { entityTypeId: 1220 })) pages.push(...page)
    t.match(pages, [{ id: 7 }])
    await t.rejects(mine.call('no.such.method'), { code: 'FST_B24_PORTAL_CALL', portalCode: 'ERROR_METHOD_NOT_FOUND' })
    await t.rejects(mine.subscriptions.sync(), { code: 'FST_B24_NO_PUBLIC_URL' })
    await t.rejects(bitrix24.syncSubscriptions(), { code: 'FST_B24_NO_PUBLIC_URL' })
  })

  t.test(`subscribes a portal after the install, ${storage}`, async t => {
    const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, { ...options(t), publicUrl: PUBLIC })
    bitrix24.on('onCrmDealUpdate', async () => {})
    const portal = b24.portal('acme.bitrix24.com')
    await portal.install(eventsUrl)
    await waitForIdle(bitrix24)
    const bound = portal.bindings.find({ handler: `${PUBLIC}/bitrix24/events` }).map(({ event }) => event).sort()
    t.strictSame(bound, ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE'])
    t.match(await bitrix24.syncSubscriptions(), { totals: { portals: 1, inOrder: 1, bound: 0, unbound: 0 } })
  })

  t.test(`notifies changes of a portal, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const reported: unknown[] = []
    bitrix24.addHook('onPortalRenamed', ({ portal, from, to }) => { reported.push(['renamed', portal.domain, from, to]) })
    bitrix24.addHook('onSuspended', ({ portal }) => { reported.push(['suspended', portal.state]) })
    bitrix24.addHook('onReauthRequired', ({ portal }) => { reported.push(['reauth', portal.state]) })
    portal.rename('new.bitrix24.com')
    t.match(await (await known()).call('profile'), { ADMIN: true })
    await until(() => reported.length === 1, 'it is renamed')
    portal.paid = false
    portal.expireTokens()
    await t.rejects((await known()).call('profile'), { code: 'FST_B24_PORTAL_SUSPENDED' })
    await until(() => reported.length === 2, 'it is suspended')
    t.strictSame(reported, [['renamed', 'new.bitrix24.com', 'acme.bitrix24.com', 'new.bitrix24.com'], ['suspended', 'suspended']])
  })

  t.test(`notifies blocks, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const reported: unknown[] = []
    bitrix24.addHook('onBlocked', ({ portal, reason, method }) => { reported.push([portal.domain, reason, method]) })
    const lift = portal.fault('profile', { status: 401, body: { error: 'METHOD_CONFIRM_WAITING', error_description: 'Waiting for confirmation' } })
    const call = async () => await (await known()).call('profile')
    const blocked = { code: 'FST_B24_PORTAL_LIMIT', portalCode: 'METHOD_CONFIRM_WAITING' }
    await t.rejects(call(), blocked)
    portal.calls.length = 0
    await t.rejects(call(), blocked)
    t.equal(portal.calls.length, 0, 'it is not asked again at once')
    await until(() => reported.length > 0, 'it is reported')
    t.strictSame(reported, [['acme.bitrix24.com', 'METHOD_CONFIRM_WAITING', 'profile']])
    t.match(await bitrix24.health(), { blocked: [{ memberId: portal.memberId, reason: 'METHOD_CONFIRM_WAITING', method: 'profile' }] })
    lift()
  })

  t.test(`notifies suspensions reported by the portal itself, ${storage}`, async t => {
    const { bitrix24, b24, portal, known } = await installed(t, options(t))
    const reported: unknown[] = []
    bitrix24.addHook('onSuspended', ({ portal }) => { reported.push(['suspended', portal.state]) })
    bitrix24.addHook('onReauthRequired', ({ portal }) => { reported.push(['reauth', portal.state]) })
    const before = b24.requests.length
    portal.paid = false
    for (let i = 0; i < 3; i++) await t.rejects((await known()).call('profile'), { code: 'FST_B24_PORTAL_SUSPENDED' })
    t.equal(portal.calls.filter(({ method }) => method === 'profile').length, 1)
    t.equal((await known()).state, 'suspended')
    portal.paid = true
    await portal.reinstall({ ts: Math.floor(Date.now() / 1000) + 1 })
    await waitForIdle(bitrix24)
    t.equal((await known()).state, 'active')
    portal.user(1).active = false
    for (let i = 0; i < 3; i++) await t.rejects((await known()).call('profile'), { code: 'FST_B24_REAUTH_REQUIRED' })
    t.equal(portal.calls.filter(({ method }) => method === 'profile').length, 2)
    await until(() => reported.length === 2, 'both are told')
    t.strictSame(reported, [['suspended', 'suspended'], ['reauth', 'reauth_required']])
    t.equal(b24.requests.slice(before).filter(({ grantType }) => grantType !== undefined).length, 1, 'no refresh but that of the new pair of the reinstall')
  })

  t.test(`requires a reinstall when no valid token is left, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const reported: unknown[] = []
    bitrix24.addHook('onReauthRequired', ({ portal }) => { reported.push(portal.state) })
    portal.installer!.alive = false
    portal.expireTokens()
    await t.rejects((await known()).call('profile'), { code: 'FST_B24_REAUTH_REQUIRED' })
    await until(() => reported.length === 1, 'it is reported')
    t.strictSame(reported, ['reauth_required'])
    await portal.reinstall()
    await waitForIdle(bitrix24)
    t.match(await (await known()).call('profile'), { ADMIN: true })
  })

  t.test(`changes during downtime wait at the portal, ${storage}`, async t => {
    const port = await freePort()
    const { app: first, b24, eventsUrl, options: given } = await buildWorld(t, { ...options(t), publicUrl: `http://127.0.0.1:${port}`, subscriptions: { offline: ['onCrmDealUpdate'] } })
    const portal = b24.portal('acme.bitrix24.com')
    await portal.install(eventsUrl)
    await waitForIdle(first.bitrix24)
    await first.close()
    for (const id of [5, 6, 7]) await outcome(portal.change(DEAL, id))
    t.equal(portal.offlineEvents.rows.length, 3)

    const { app } = await buildApp(t, given)
    const seen: number[] = []
    app.bitrix24.on('onCrmDealUpdate', ({ data }) => { seen.push(data.FIELDS.ID) })
    await app.listen({ port, host: '127.0.0.1' })
    await until(() => seen.length === 3 && portal.offlineEvents.rows.length === 0, 'what waited is handled, and gone at the portal')
    t.strictSame(seen.toSorted(), [5, 6, 7])

    // Portals notify once per second.
    await sleep(1_000)
    t.match(await portal.change(DEAL, 8), [{ statusCode: 200 }], 'it rings')
    await until(() => seen.length === 4 && portal.offlineEvents.rows.length === 0, 'the bell is answered')
    t.equal(seen.at(-1), 8)
  })

  t.test(`subscribes a portal again after an update, ${storage}`, async t => {
    const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, { ...options(t), publicUrl: PUBLIC })
    bitrix24.on('onCrmDealUpdate', async () => {})
    const portal = b24.portal('acme.bitrix24.com')
    // Timestamps have a resolution of one second: an update within the second of the install would be a repeat.
    await portal.install(eventsUrl, { ts: Math.floor(Date.now() / 1000) - 20 })
    await waitForIdle(bitrix24)
    t.equal(portal.bindings.remove({ event: 'ONCRMDEALUPDATE' }), 1)
    t.equal((await portal.update()).statusCode, 200)
    await waitForIdle(bitrix24)
    t.match(portal.bindings.find({ event: 'ONCRMDEALUPDATE' }), [{ handler: `${PUBLIC}/bitrix24/events` }])
  })

  t.test(`dry run and sync of all portals, ${storage}`, async t => {
    const { app: { bitrix24 }, b24, clientId, eventsUrl } = await buildWorld(t, { ...options(t), publicUrl: PUBLIC })
    bitrix24.on('onCrmDealUpdate', async () => {})
    const portals = ['acme.bitrix24.com', 'other.bitrix24.com'].map(domain => b24.portal(domain))
    for (const portal of portals) await portal.install(eventsUrl)
    await waitForIdle(bitrix24)
    const [acme, other] = portals as [typeof portals[0], typeof portals[0]]
    acme.bindings.remove({ event: 'ONCRMDEALUPDATE' })
    acme.bindings.add({ clientId, event: 'ONCRMLEADADD', handler: `${PUBLIC}/bitrix24/events`, userId: 0, offline: false, connector: '' })
    const bound = () => acme.bindings.find({ handler: `${PUBLIC}/bitrix24/events` }).map(({ event }) => event).sort()
    const before = { acme: bound(), other: other.bindings.find({}) }

    const plan = await bitrix24.syncSubscriptions({ dryRun: true })
    t.match(plan, {
      reports: [{ memberId: acme.memberId, bound: ['ONCRMDEALUPDATE'], unbound: ['ONCRMLEADADD'] }],
      totals: { portals: 2, inOrder: 1, failed: 0, bound: 1, unbound: 1 }
    })
    t.strictSame(bound(), before.acme, 'nothing is done yet')
    t.strictSame(await bitrix24.syncSubscriptions(), plan)
    t.strictSame(bound(), ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE'])
    t.strictSame(other.bindings.find({}), before.other)
  })

  t.test(`waiting for a rate-limited portal does not count as an attempt, ${storage}`, async t => {
    const { bitrix24, portal } = await installed(t, { ...options(t), portalLimits: { waitMs: 0 } })
    await portal.change(1220, 7, { title: 'first' })
    const now = Math.floor(Date.now() / 1000)
    portal.fault('crm.item.get', { status: 429, times: 1, body: { error: 'OPERATION_TIME_LIMIT', error_description: 'Method is blocked', time: { finish: now, operating_reset_at: now + 1 } } })
    const runs: Array<{ attempt: number, at: number }> = []
    const titles: unknown[] = []
    bitrix24.on('onCrmDynamicItemUpdate', async ({ data: { FIELDS }, attempt }, { portal }) => {
      runs.push({ attempt, at: performance.now() })
      const { item } = await portal.call<{ item: { title: string } }>('crm.item.get', { entityTypeId: FIELDS.ENTITY_TYPE_ID, id: FIELDS.ID })
      titles.push(item.title)
    })
    await portal.send('onCrmDynamicItemUpdate', { FIELDS: { ID: 7, ENTITY_TYPE_ID: 1220 } })
    await waitForIdle(bitrix24)
    t.strictSame(titles, ['first'])
    t.strictSame(runs.map(({ attempt }) => attempt), [1, 1])
    t.ok(runs[1]!.at - runs[0]!.at > 900, 'not before the portal takes calls again')
    t.strictSame(portal.calls.filter(({ method }) => method === 'crm.item.get').map(({ status }) => status), [429, 200])
  })
}

t.test('a portal that does not respond does not delay close', async t => {
  const port = await freePort()
  const options = { dataDir: temporaryFolder(t), publicUrl: `http://127.0.0.1:${port}`, subscriptions: { offline: ['onCrmDealUpdate'] }, delivery: { closeTimeoutMs: 500 } }
  const { app: first, b24, eventsUrl, options: given } = await buildWorld(t, options)
  first.bitrix24.on('onCrmDealUpdate', () => {})
  const portal = b24.portal('acme.bitrix24.com')
  await portal.install(eventsUrl)
  await waitForIdle(first.bitrix24)
  await first.close()
  await outcome(portal.change(DEAL, 7))
  portal.fault('event.offline.clear', { hang: true })

  const { app } = await buildApp(t, given, { pluginTimeout: 2_000 })
  let isHandled = false
  app.bitrix24.on('onCrmDealUpdate', async () => {
    isHandled = true
    await new Promise(() => {})
  })
  await app.ready()
  await until(() => isHandled && portal.calls.some(({ method }) => method === 'event.offline.clear'), 'both hang')
  await t.resolves(app.close(), 'within the time that Fastify gives a hook')
})

t.test('rejects a drain where events are not stored', async t => {
  const { bitrix24, clientId, portal, known } = await installed(t, { delivery: { mode: 'inline' } })
  portal.features.delete('rest_offline_extended')
  portal.bindings.add({ clientId, event: 'ONCRMDEALUPDATE', handler: '', userId: 0, offline: true, connector: '' })
  const seen: number[] = []
  bitrix24.on('onCrmDealUpdate', ({ data }) => { seen.push(data.FIELDS.ID) })
  await portal.change(DEAL, 5)
  await t.rejects((await known()).offline.drain(), { code: 'FST_B24_NO_QUEUE', message: /delivery\.mode 'queue'/ })
  const asked = portal.calls.filter(({ method }) => method.startsWith('event.'))
  t.strictSame([asked.length, portal.offlineEvents.rows.length, seen.length], [0, 1, 0], 'the portal is not asked, and keeps it')
})

for (const worker of [true, false]) {
  t.test(`a process ${worker ? 'that works looks' : 'without work does not look'} for tokens that nobody uses`, async t => {
    const looks = t.capture(KeepAlive.prototype, 'run', async () => {})
    const count = () => looks().length
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
    t.teardown(() => mock.timers.reset())
    const { app } = await buildApp(t, { clientId: 'local.looks', clientSecret: 'made up', delivery: { worker } })
    await app.ready()
    mock.timers.tick(MINUTE_MS - 1)
    t.equal(count(), 0)
    mock.timers.tick(9 * MINUTE_MS + 1)
    t.equal(count(), worker ? 1 : 0, 'in the first ten minutes')
    mock.timers.tick(6 * 60 * MINUTE_MS)
    t.equal(count(), worker ? 1 : 0, 'every six hours')
    await app.close()
    mock.timers.tick(24 * 60 * MINUTE_MS)
    t.equal(count(), 0, 'and not once it is closed')
  })
}

t.test('a process closed before its first keep-alive sweep makes none', async t => {
  const looks = t.capture(KeepAlive.prototype, 'run', async () => {})
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  t.teardown(() => mock.timers.reset())
  const { app } = await buildApp(t, { clientId: 'local.looks', clientSecret: 'made up' })
  await app.ready()
  await app.close()
  mock.timers.tick(24 * 60 * MINUTE_MS)
  t.equal(looks().length, 0)
})
