import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { LocalLimits } from '../../../src/storage/sqlite/call-rate-limits.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'

const DOMAIN = 'acme.bitrix24.com'

t.test('four processes together stay within a portal\'s rate limit', async t => {
  // The portal's own bucket is slightly larger: on a busy machine calls do not arrive as evenly as they were sent.
  const rates = { drainPerSecond: 20, burst: 10 }
  const { b24, another, install } = await openRestStage(t, { rates })
  const portal = b24.portal(DOMAIN)
  portal.limit({ drainPerSecond: 20, cap: 20 })
  await install(portal)
  const processes = Array.from({ length: 4 }, () => another())
  // Exclude their startup from the measurement.
  for (const rest of processes) await rest.call(portal.memberId, 'profile')
  await sleep(600)
  portal.calls.length = 0
  const start = performance.now()
  await Promise.all(processes.flatMap(rest => Array.from({ length: 10 }, async () => await rest.call(portal.memberId, 'profile'))))
  const ms = performance.now() - start
  t.ok(ms > 1_300 && ms < 6_000, `30 of 40 calls waited, together ${Math.round(ms)} ms`)
  t.strictSame(portal.calls.filter(({ status }) => status !== 200), [], 'none was refused')
  t.equal(portal.calls.length, 40)
})

t.test('a call that would wait too long fails with retryAfterMs', async t => {
  const { b24, rest, install } = await openRestStage(t, { rates: { drainPerSecond: 0.5, burst: 1 }, maxWaitMs: 1_000 })
  const portal = b24.portal(DOMAIN)
  await install(portal)
  await rest.call(portal.memberId, 'profile')
  const error = await rest.call(portal.memberId, 'profile').catch((error: unknown) => error) as { retryAfterMs: number }
  t.match(error, { code: 'FST_B24_PORTAL_LIMIT', statusCode: 503, portalCode: 'QUERY_LIMIT_EXCEEDED' })
  t.ok(error.retryAfterMs > 1_000 && error.retryAfterMs <= 2_000, `${error.retryAfterMs}`)
  t.equal(portal.calls.length, 1)
  const reason = new Error('enough')
  const { rest: patient, b24: other, install: add } = await openRestStage(t, { rates: { drainPerSecond: 0.5, burst: 1 } })
  const busy = other.portal(DOMAIN)
  await add(busy)
  await patient.call(busy.memberId, 'profile')
  const controller = new AbortController()
  const start = performance.now()
  const waiting = patient.call(busy.memberId, 'profile', {}, { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 50)
  await t.rejects(waiting, reason, 'who waits can be broken off')
  t.ok(performance.now() - start < 1_500)
  t.equal(busy.calls.length, 1)
})

t.test('a rate-limit response of a portal makes all processes wait', async t => {
  const { b24, rest, another, install } = await openRestStage(t, { rates: { drainPerSecond: 2, burst: 50 } })
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const other = another()
  await other.call(portal.memberId, 'profile')
  // Another app on the same server filled it.
  portal.fault('profile', { status: 503, body: { error: 'QUERY_LIMIT_EXCEEDED', error_description: 'Too many requests' }, times: 1 })
  portal.calls.length = 0
  const start = performance.now()
  const first = rest.call(portal.memberId, 'profile').then(() => performance.now() - start)
  await sleep(150)
  const second = other.call(portal.memberId, 'profile').then(() => performance.now() - start)
  const times = [await first, await second]
  t.ok(times[0]! > 400 && times[0]! < 2_400, `the call was made again after ${times[0]} ms`)
  t.ok(times[1]! > 900 && times[1]! < 3_000, `the one of another process waited its turn, ${times[1]} ms`)
  t.strictSame(portal.calls.map(({ status }) => status), [503, 200, 200])
})

t.test('pauses a method without operating time in all processes until it is freed', async t => {
  const { b24, rest, another, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const resetAt = Date.now() / 1000 + 4
  const body = { error: 'OPERATION_TIME_LIMIT', error_description: '', time: { finish: Date.now() / 1000, operating_reset_at: resetAt } }
  portal.fault('crm.item.list', { status: 429, body, times: 1 })
  const impatient = another({ maxWaitMs: 100 })
  const error = await impatient.call(portal.memberId, 'crm.item.list', { entityTypeId: 2 }).catch((error: unknown) => error) as { retryAfterMs: number }
  t.match(error, { code: 'FST_B24_PORTAL_LIMIT', portalCode: 'OPERATION_TIME_LIMIT', message: 'crm.item.list: OPERATION_TIME_LIMIT' })
  t.ok(error.retryAfterMs > 3_000 && error.retryAfterMs <= 4_100, `${error.retryAfterMs}`)
  await t.rejects(impatient.call(portal.memberId, 'CRM.Item.List', { entityTypeId: 2 }), { code: 'FST_B24_PORTAL_LIMIT' })
  t.equal(portal.calls.length, 1, 'the portal was not asked again')
  await t.resolves(impatient.call(portal.memberId, 'profile'), 'other methods are open')
  await t.resolves(rest.call(portal.memberId, 'crm.item.list', { entityTypeId: 2 }), 'one that waits is served')
  t.ok(Date.now() / 1000 >= resetAt - 0.1)
})

t.test('derives the pause of a method from its last success', async t => {
  const { b24, rest, install } = await openRestStage(t, { maxWaitMs: 100 })
  const portal = b24.portal(DOMAIN)
  await install(portal)
  portal.fault('crm.item.list', { body: { result: { items: [] }, time: { finish: 1_000, operating_reset_at: 1_300 } }, times: 1 })
  await rest.call(portal.memberId, 'crm.item.list', { entityTypeId: 2 })
  portal.fault('crm.item.list', { status: 429, body: { error: 'OPERATION_TIME_LIMIT', error_description: '' }, times: 1 })
  const error = await rest.call(portal.memberId, 'crm.item.list', { entityTypeId: 2 }).catch((error: unknown) => error) as { retryAfterMs: number }
  t.match(error, { code: 'FST_B24_PORTAL_LIMIT', portalCode: 'OPERATION_TIME_LIMIT' })
  t.ok(error.retryAfterMs > 200_000 && error.retryAfterMs <= 300_000, `${error.retryAfterMs}`)
})

t.test('a single process keeps the limits without Redis', async t => {
  const { b24, rest, install, asked } = await openRestStage(t, { limits: new LocalLimits({ drainPerSecond: 20, burst: 2 }) })
  const portal = b24.portal(DOMAIN)
  portal.limit({ drainPerSecond: 20, cap: 3 })
  await install(portal)
  await Promise.all(Array.from({ length: 6 }, async () => await rest.call(portal.memberId, 'profile')))
  t.ok(portal.calls.every(({ status }) => status === 200))
  t.equal(asked.eval, 1, 'but to keep the install')
})
