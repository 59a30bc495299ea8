import t, { type Test } from 'tap'
import type { Install, Suspension } from '../../../src/installs/install.ts'
import type { InstallStore } from '../../../src/storage/install-store.ts'
import { LocalLimits } from '../../../src/storage/sqlite/call-rate-limits.ts'
import { PortalRest } from '../../../src/portal/rest/rest.ts'
import { storeUnavailable } from '../../../src/storage/unavailable.ts'
import type { Fault, SimulatedPortal } from '../../../src/testing/index.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { transportOf } from '../../helpers/transport.ts'
import { TokenWorld } from '../../helpers/token-world.ts'
import { until } from '../../helpers/until.ts'

// States revealed only by the portal's own responses, and their effect on the record.

const PLACES: Array<[name: string, storage: (t: Test) => TokenWorld['settings']['storage']]> = [
  ['Redis', () => ({ redis: process.env['REDIS_URL'] as string })],
  ['SQLite', t => ({ dataDir: temporaryFolder(t) })]
]
const MINUTE_MS = 60_000
const NO_REST = 'REST API is available only on commercial plans.'
const SUSPENDED = { code: 'FST_B24_PORTAL_SUSPENDED', statusCode: 503 }
const GONE = { code: 'FST_B24_PORTAL_GONE', statusCode: 502 }
const REAUTH = { code: 'FST_B24_REAUTH_REQUIRED', statusCode: 502 }

const stated = (status: number, error: string, description = ''): Fault => ({ status, body: { error, error_description: description } })

interface Stage {
  world: TokenWorld
  acme: SimulatedPortal
  /** Simulates another process of the app. */
  process (store?: InstallStore): PortalRest
  /** State and suspension in the portal's record. */
  standing (): Promise<Pick<Install, 'state' | 'suspension'>>
  reported (): string[]
}

async function openStage (t: Test, storage: TokenWorld['settings']['storage'] = { dataDir: temporaryFolder(t) }): Promise<Stage> {
  const world = await TokenWorld.open(t, storage)
  const acme = world.b24.portal('acme.bitrix24.com')
  return {
    world,
    acme,
    process: (store = world.place.store) => {
      const tokens = world.tokens(t, { actAs: 'installer', store, times: { graceMs: 50 } })
      const rest = new PortalRest({ tokens, limits: new LocalLimits({ drainPerSecond: 1_000, burst: 1_000 }), transport: transportOf(t) })
      return rest
    },
    standing: async () => {
      const { state, suspension } = await world.record(acme)
      return { state, ...(suspension !== undefined && { suspension }) }
    },
    reported: () => world.reported.map(([what]) => what as string)
  }
}

function failing (store: InstallStore): InstallStore {
  return { get: id => store.get(id), scan: cursor => store.scan(cursor), swap: async () => { throw storeUnavailable(new Error('away')) } }
}

type Row = [name: string, fault: Fault, error: { code: string, statusCode: number }, reason: Suspension['reason'] | 'reauth', refreshes?: number]

const KEPT: Row[] = [
  ['a plan without REST', stated(401, 'ACCESS_DENIED', NO_REST), SUSPENDED, 'payment_required'],
  ['a plan without REST, with the status of the documentation', stated(403, 'ACCESS_DENIED', NO_REST), SUSPENDED, 'payment_required'],
  ['a plan without REST, in other words', stated(403, 'ACCESS_DENIED', 'REST is available only on commercial plans.'), SUSPENDED, 'payment_required'],
  ['a subscription that ended', stated(401, 'PAYMENT_REQUIRED', 'Subscription has been ended'), SUSPENDED, 'payment_required'],
  ['a subscription that ended, with status 200', stated(200, 'payment_required'), SUSPENDED, 'payment_required'],
  ['an app that was removed', stated(401, 'APPLICATION_NOT_FOUND'), GONE, 'uninstalled'],
  ['a portal that was deleted', stated(403, 'PORTAL_DELETED'), GONE, 'uninstalled'],
  ['a portal that was deleted, with status 500', stated(500, 'PORTAL_DELETED'), GONE, 'uninstalled'],
  ['a portal that was deleted, with status 410', stated(410, 'PORTAL_DELETED'), GONE, 'uninstalled'],
  ['a user who was dismissed', stated(401, 'authorization_error'), REAUTH, 'reauth'],
  ['a user who may not use the app', stated(401, 'user_access_error'), REAUTH, 'reauth'],
  ['a user who may not use the app, with the status of the documentation', stated(403, 'USER_ACCESS_ERROR'), REAUTH, 'reauth'],
  ['tokens that the portal does not know, new ones either', stated(401, 'NO_AUTH_FOUND'), REAUTH, 'reauth', 1]
]

for (const [name, fault, error, reason, refreshes = 0] of KEPT) {
  t.test(`${name}: stored, notified once across processes, and the portal is not called again`, async t => {
    for (const [place, storage] of PLACES) {
      const { world, acme, process, standing, reported } = await openStage(t, storage(t))
      await world.install(acme, { expired: false })
      const processes = [process(), process(), process()]
      acme.fault('profile', fault)
      const calls = processes.flatMap(rest => Array.from({ length: 5 }, async () => await rest.call(acme.memberId, 'profile')))
      for (const outcome of await Promise.allSettled(calls)) t.match(outcome, { status: 'rejected', reason: error }, place)
      const { state, suspension } = await standing()
      if (reason === 'reauth') t.strictSame([state, suspension], ['reauth_required', undefined], place)
      else t.match([state, suspension], ['suspended', { reason, by: 'portal', retryAt: Number }], place)
      await until(() => reported().length > 0, 'it is reported')
      const before = acme.calls.length
      for (const rest of [...processes, process()]) await t.rejects(rest.call(acme.memberId, 'crm.item.list'), error, place)
      t.equal(acme.calls.length, before, `${place}: no call`)
      t.strictSame(reported(), [reason === 'reauth' ? 'reauthRequired' : 'suspended'], place)
      t.equal(world.refreshes, refreshes, `${place}: refreshes`)
      await world.install(acme, { expired: false })
      t.match(await processes[0]!.call(acme.memberId, 'app.info'), { INSTALLED: true }, `${place}: a verified install ends it`)
      t.strictSame(await standing(), { state: 'active' }, place)
    }
  })
}

t.test('the error of such a call has the portal\'s code and description', async t => {
  const { world, acme, process } = await openStage(t)
  for (const [name, fault, error] of KEPT) {
    await world.install(acme, { expired: false })
    const lift = acme.fault('profile', fault)
    const { error: portalCode, error_description: description } = fault.body as { error: string, error_description: string }
    await t.rejects(process().call(acme.memberId, 'profile'), { ...error, portalCode, description }, name)
    lift()
  }
})

t.test('errors about a call, a user\'s permissions or a transient state do not suspend the portal', async t => {
  const { world, acme, process, standing, reported } = await openStage(t)
  await world.install(acme, { expired: false })
  const rest = process()
  const table: Array<[fault: Fault, code: string]> = [
    [stated(403, 'ACCESS_DENIED', 'Access denied!'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'ACCESS_DENIED'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'ACCESS_DENIED', 'The method is available only on commercial plans'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'WRONG_LICENSE', 'Your plan does not have it'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'WRONG_AUTH_TYPE'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'insufficient_scope'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'METHOD_CONFIRM_DENIED'), 'FST_B24_PORTAL_CALL'],
    [stated(403, 'INVALID_CREDENTIALS'), 'FST_B24_PORTAL_CALL'],
    [stated(400, 'INVALID_REQUEST', 'Https required'), 'FST_B24_PORTAL_CALL'],
    [stated(404, 'ERROR_METHOD_NOT_FOUND'), 'FST_B24_PORTAL_CALL'],
    [stated(404, 'ERROR_MANIFEST_IS_NOT_AVAILABLE'), 'FST_B24_PORTAL_CALL'],
    [stated(401, 'CONNECTION_ERROR'), 'FST_B24_PORTAL_UNAVAILABLE'],
    [stated(500, 'INTERNAL_SERVER_ERROR'), 'FST_B24_PORTAL_UNAVAILABLE'],
    [stated(500, 'ERROR_UNEXPECTED_ANSWER'), 'FST_B24_PORTAL_UNAVAILABLE'],
    [{ status: 402, body: `<h1>${NO_REST}</h1>` }, 'FST_B24_PORTAL_UNAVAILABLE'],
    [stated(429, 'OPERATION_TIME_LIMIT'), 'FST_B24_PORTAL_LIMIT'],
    [stated(401, 'METHOD_CONFIRM_WAITING'), 'FST_B24_PORTAL_LIMIT']
  ]
  for (const [fault, code] of table) {
    const lift = acme.fault('crm.item.add', fault)
    await t.rejects(rest.call(acme.memberId, 'crm.item.add'), { code }, JSON.stringify(fault))
    lift()
    t.strictSame(await standing(), { state: 'active' }, JSON.stringify(fault))
    t.match(await rest.call(acme.memberId, 'profile'), { ID: '1' })
  }
  const failed = { result: [], result_error: { first: { error: 'ACCESS_DENIED', error_description: NO_REST } }, result_total: [], result_next: [], result_time: [] }
  acme.fault('batch', { body: { result: failed, time: { operating: 0 } } })
  t.equal((await rest.batch(acme.memberId, { first: ['profile', {}] }, { halt: false })).isSuccess, false)
  t.strictSame(await standing(), { state: 'active' }, 'one call of a batch')
  t.strictSame(reported(), [])
  t.equal(world.refreshes, 0)
})

t.test('a self-hosted portal that reports its deletion is not suspended', async t => {
  const { world, acme, process, standing } = await openStage(t)
  await world.install(acme, { expired: false })
  await world.change(acme, () => ({ domain: 'portal.example.ru' }))
  acme.fault('profile', { ...stated(403, 'PORTAL_DELETED'), times: 1 })
  const rest = process()
  await t.rejects(rest.call(acme.memberId, 'profile'), { code: 'FST_B24_PORTAL_UNAVAILABLE' })
  t.strictSame(await standing(), { state: 'active' })
  t.match(await rest.call(acme.memberId, 'profile'), { ID: '1' })
})

t.test('a portal that denies access is retried every few minutes without a refresh, and recovers', async t => {
  const { world, acme, process, standing, reported } = await openStage(t)
  await world.install(acme, { expired: false })
  const [one, other] = [process(), process()]
  const fails = async (rest: PortalRest) => { await t.rejects(rest.call(acme.memberId, 'profile'), SUSPENDED) }
  acme.paid = false
  await fails(one)
  world.aheadMs += 4 * MINUTE_MS
  await fails(other)
  t.equal(acme.calls.length, 1)
  world.aheadMs += 2 * MINUTE_MS
  await fails(other)
  await fails(one)
  t.equal(acme.calls.length, 2)
  acme.paid = true
  await fails(one)
  world.aheadMs += 6 * MINUTE_MS
  t.match(await one.call(acme.memberId, 'profile'), { ID: '1' })
  await until(async () => (await standing()).state === 'active', 'it is active again')
  t.strictSame(await standing(), { state: 'active' })
  t.equal((await world.record(acme)).generation, 1)
  t.equal(world.refreshes, 0)
  t.strictSame(reported(), ['suspended'], 'reported once')
  acme.paid = false
  await fails(other)
  await until(() => reported().length === 2, 'it is reported again')
})

t.test('a portal that refuses new tokens too stays suspended, with one notification', async t => {
  const { world, acme, process, standing, reported } = await openStage(t)
  await world.install(acme, { expired: false })
  const rest = process()
  const lift = acme.fault('profile', stated(403, 'ACCESS_DENIED', NO_REST))
  await t.rejects(rest.call(acme.memberId, 'profile'), SUSPENDED)
  for (let hour = 1; hour <= 3; hour++) {
    await world.expire(acme)
    world.aheadMs += 6 * MINUTE_MS
    await t.rejects(rest.call(acme.memberId, 'profile'), SUSPENDED)
    t.match(await standing(), { state: 'suspended', suspension: { by: 'portal' } })
    t.equal(world.refreshes, hour, 'the OAuth server makes tokens all the time')
    t.equal(acme.calls.length, hour + 1)
  }
  t.strictSame(reported(), ['suspended'])
  lift()
  await world.expire(acme)
  world.aheadMs += 6 * MINUTE_MS
  t.match(await rest.call(acme.memberId, 'profile'), { ID: '1' })
  await until(async () => (await standing()).state === 'active', 'it is active again')
})

t.test('a refusal of the OAuth server overrides that of the portal', async t => {
  const { world, acme, process, standing, reported } = await openStage(t)
  await world.install(acme, { expired: false })
  const rest = process()
  acme.removedApps.add(world.settings.clientId)
  await t.rejects(rest.call(acme.memberId, 'profile'), GONE)
  await world.expire(acme)
  world.aheadMs += 61 * MINUTE_MS
  await t.rejects(rest.call(acme.memberId, 'profile'), GONE)
  t.strictSame((await standing()).suspension, { reason: 'uninstalled', retryAt: (await standing()).suspension!.retryAt })
  acme.removedApps.clear()
  world.aheadMs += 61 * MINUTE_MS
  t.match(await rest.call(acme.memberId, 'profile'), { ID: '1' })
  t.strictSame(await standing(), { state: 'active' })
  t.strictSame(reported(), ['suspended'])
})

t.test('a response to an older pair does not affect a newer one', async t => {
  for (const [fault, error] of [[stated(403, 'ACCESS_DENIED', NO_REST), SUSPENDED], [stated(401, 'APPLICATION_NOT_FOUND'), GONE]] as const) {
    const { world, acme, process, standing, reported } = await openStage(t)
    await world.install(acme, { expired: false })
    acme.fault('profile', { ...fault, delayMs: 300, times: 1 })
    const call = process().call(acme.memberId, 'profile')
    await until(() => acme.calls.length === 1, 'it is asked')
    await world.install(acme, { expired: false })
    await t.rejects(call, error)
    t.strictSame(await standing(), { state: 'active' })
    t.strictSame(reported(), [])
  }
})

t.test('a user refused while a newer pair arrives: the call uses the newer pair', async t => {
  const { world, acme, process, standing, reported } = await openStage(t)
  await world.install(acme, { expired: false })
  acme.fault('profile', { ...stated(401, 'authorization_error'), delayMs: 300, times: 1 })
  const call = process().call(acme.memberId, 'profile')
  await until(() => acme.calls.length === 1, 'it is asked')
  const { installer } = await world.install(acme, { expired: false })
  t.match(await call, { ID: '1' })
  t.strictSame(await standing(), { state: 'active' })
  t.strictSame((await world.record(acme)).installer, installer)
  t.strictSame(reported(), [])
})

t.test('falls back to the system user when the installer is refused', async t => {
  for (const [place, storage] of PLACES) {
    const { world, acme, process, standing, reported } = await openStage(t, storage(t))
    await world.install(acme, { systemUser: true, expired: false })
    const [one, other] = [process(), process()]
    acme.user(1).access = false
    const calls = Array.from({ length: 10 }, async (_, i) => await (i % 2 === 0 ? one : other).call(acme.memberId, 'profile'))
    for (const answer of await Promise.all(calls)) t.match(answer, { ID: '1000' }, place)
    t.match(await world.record(acme), { state: 'active', installer: { isDead: true, generation: 1 }, systemUser: { generation: 2 } }, place)
    t.strictSame(reported(), [], place)
    const before = acme.calls.length
    await one.call(acme.memberId, 'profile')
    t.equal(acme.calls.length, before + 1, `${place}: at once`)

    acme.user(1000).active = false
    await t.rejects(one.call(acme.memberId, 'profile'), { ...REAUTH, portalCode: 'authorization_error' }, place)
    t.strictSame(await standing(), { state: 'reauth_required' }, place)
    await until(() => reported().length > 0, 'it is reported')
    t.strictSame(reported(), ['reauthRequired'], place)
    t.equal(world.refreshes, 0, place)
  }
})

t.test('renews an unknown token once per user before discarding the pair', async t => {
  const table: Array<[refusals: number, refreshes: number, user: string | undefined]> = [[1, 1, '1'], [2, 1, '1000'], [3, 2, '1000'], [4, 2, undefined]]
  for (const [times, refreshes, user] of table) {
    const { world, acme, process, standing } = await openStage(t)
    await world.install(acme, { systemUser: true, expired: false })
    acme.fault('profile', { ...stated(401, 'NO_AUTH_FOUND'), times })
    const call = process().call<{ ID: string }>(acme.memberId, 'profile')
    if (user === undefined) await t.rejects(call, { ...REAUTH, portalCode: 'NO_AUTH_FOUND' })
    else t.equal((await call).ID, user, `${times}`)
    t.equal(world.refreshes, refreshes, `${times}`)
    t.equal((await standing()).state, user === undefined ? 'reauth_required' : 'active', `${times}`)
  }
})

t.test('does not require a reinstall while the other user\'s token is temporarily unavailable', async t => {
  const { world, acme, process, standing } = await openStage(t)
  await world.install(acme, { systemUser: true, expired: false })
  await world.change(acme, ({ systemUser }) => ({ systemUser: { ...systemUser!, expiresAt: 0 } }))
  acme.user(1).access = false
  const lift = world.b24.fault('token', { status: 500 })
  const rest = process()
  await t.rejects(rest.call(acme.memberId, 'profile'), { code: 'FST_B24_OAUTH_UNAVAILABLE' })
  t.strictSame(await standing(), { state: 'active' })
  lift()
  t.match(await rest.call(acme.memberId, 'profile'), { ID: '1000' })
})

t.test('a store outage while recording a refusal only causes another call', async t => {
  const { world, acme, process, standing } = await openStage(t)
  await world.install(acme, { expired: false })
  const rest = process(failing(world.place.store))
  acme.fault('profile', stated(403, 'ACCESS_DENIED', NO_REST))
  acme.fault('app.info', stated(401, 'user_access_error'))
  await Promise.all([t.rejects(rest.call(acme.memberId, 'profile'), SUSPENDED), t.rejects(rest.call(acme.memberId, 'app.info'), REAUTH)])
  t.strictSame(await standing(), { state: 'active' })
  t.equal(world.logs.filter(line => (line as unknown[])[2] === 'failed to persist portal status').length, 2)
  await t.rejects(process().call(acme.memberId, 'profile'), SUSPENDED)
  t.equal((await standing()).state, 'suspended')
})

t.test('aborts a call that waits for the store', async t => {
  const { world, acme, process } = await openStage(t)
  await world.install(acme, { expired: false })
  const rest = process(failing(world.place.store))
  const reason = new Error('enough')
  for (const fault of [stated(403, 'ACCESS_DENIED', NO_REST), stated(401, 'user_access_error')]) {
    acme.fault('profile', { ...fault, times: 1 })
    const controller = new AbortController()
    const call = rest.call(acme.memberId, 'profile', {}, { signal: controller.signal })
    await until(() => acme.calls.at(-1)?.status === fault.status, 'it is refused')
    setTimeout(() => controller.abort(reason), 50)
    const start = performance.now()
    await t.rejects(call, reason)
    t.ok(performance.now() - start < 2_000, 'at once')
    acme.calls.length = 0
  }
})
