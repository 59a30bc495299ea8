import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { LocalLimits } from '../../src/storage/sqlite/call-rate-limits.ts'
import { BUCKET_RATES, ENTERPRISE_RATES, type BucketRates, type PortalBuckets } from '../../src/storage/call-rate-limits.ts'
import { RedisLimits } from '../../src/storage/redis/call-rate-limits.ts'
import { connectRedis } from '../helpers/connect-redis.ts'
import { bucketKey } from '../../src/storage/redis/keys.ts'
import { completePortalLimits, PlanLimits } from '../../src/portal/plan-limits.ts'
import { sampleInstall } from '../../src/testing/index.ts'

const URL = process.env['REDIS_URL'] as string
const newApp = () => `local.${randomBytes(6).toString('hex')}`

/** Unique bucket names per test; the buckets expire. */
class BucketsOf implements PortalBuckets {
  readonly #buckets: PortalBuckets
  readonly #name: string

  constructor (buckets: PortalBuckets, name: string) {
    this.#buckets = buckets
    this.#name = name
  }

  reserve (bucket: string, method: string, mostMs: number, rates?: BucketRates) { return this.#buckets.reserve(`${this.#name} ${bucket}`, method, mostMs, rates) }
  fill (bucket: string, rates?: BucketRates) { return this.#buckets.fill(`${this.#name} ${bucket}`, rates) }
  close (bucket: string, method: string, forMs: number) { return this.#buckets.close(`${this.#name} ${bucket}`, method, forMs) }
}

async function redisLimits (t: Test, rates?: BucketRates, clientId = newApp()): Promise<PortalBuckets> {
  const connection = await connectRedis(URL)
  t.teardown(async () => await connection.close())
  return new BucketsOf(new RedisLimits(connection.client, rates), clientId)
}

const ADAPTERS: Array<[name: string, open: (t: Test, rates?: BucketRates) => Promise<PortalBuckets>]> = [
  ['Redis', redisLimits],
  ['in the process', async (_t, rates) => new LocalLimits(rates)]
]

/** A fake clock: on a busy machine buckets would leak during the test. */
function startClock (): (waitMs: number, expectedMs: number) => boolean {
  const begun = performance.now()
  return (waitMs, expectedMs) => waitMs <= expectedMs && waitMs >= expectedMs - (performance.now() - begun) - 50
}

for (const [name, open] of ADAPTERS) {
  t.test(`${name}: as many calls at once as fit, then as many as leak, then none`, async t => {
    const limits = await open(t)
    const isAbout = startClock()
    for (let call = 0; call < 50; call++) t.strictSame(await limits.reserve('m', 'profile', 0), { status: 'reserved', waitMs: 0 })
    const waits = []
    for (let call = 0; call < 4; call++) waits.push(await limits.reserve('m', 'profile', 5_000))
    for (const [at, wait] of waits.entries()) {
      t.match(wait, { status: 'reserved' })
      const { waitMs } = wait as { waitMs: number }
      t.ok(isAbout(waitMs, 500 * (at + 1)), `call ${51 + at} waits ${waitMs} ms`)
    }
    const refused = await limits.reserve('m', 'profile', 1_000) as { retryAfterMs: number }
    t.match(refused, { status: 'refused', full: 'bucket' })
    t.ok(isAbout(refused.retryAfterMs, 2_500), `asked for again after ${refused.retryAfterMs} ms`)
    t.match(await limits.reserve('another', 'profile', 0), { status: 'reserved', waitMs: 0 }, 'another portal has a bucket of its own')
  })

  t.test(`${name}: a bucket leaks`, async t => {
    const limits = await open(t, { drainPerSecond: 2, burst: 2 })
    for (let call = 0; call < 2; call++) await limits.reserve('m', 'profile', 0)
    t.match(await limits.reserve('m', 'profile', 0), { status: 'refused' })
    await sleep(510)
    t.match(await limits.reserve('m', 'profile', 0), { status: 'reserved', waitMs: 0 })
  })

  t.test(`${name}: what the portal says of its bucket counts, and does not empty a fuller one`, async t => {
    const limits = await open(t, { drainPerSecond: 2, burst: 10 })
    const isAbout = startClock()
    await limits.fill('m')
    const { waitMs } = await limits.reserve('m', 'profile', 2_000) as { waitMs: number }
    t.ok(isAbout(waitMs, 500), `${waitMs}`)
    await limits.reserve('m', 'profile', 2_000)
    await limits.fill('m')
    const { waitMs: third } = await limits.reserve('m', 'profile', 2_000) as { waitMs: number }
    t.ok(isAbout(third, 1_500), `${third}`)
  })

  t.test(`${name}: a closed method waits, and no other`, async t => {
    const limits = await open(t)
    const isAbout = startClock()
    await limits.close('m', 'crm.item.list', 1_500)
    t.match(await limits.reserve('m', 'crm.item.list', 100), { status: 'refused', full: 'method' })
    const { waitMs } = await limits.reserve('m', 'crm.item.list', 2_000) as { waitMs: number }
    t.ok(isAbout(waitMs, 1_500), `${waitMs}`)
    t.match(await limits.reserve('m', 'crm.item.get', 0), { status: 'reserved', waitMs: 0 })
    await sleep(1_520)
    t.match(await limits.reserve('m', 'crm.item.list', 0), { status: 'reserved', waitMs: 0 })
    await limits.close('m', 'crm.item.list', 3_600_000)
    const refused = await limits.reserve('m', 'crm.item.list', 0) as { retryAfterMs: number }
    t.ok(refused.retryAfterMs <= 600_000, 'ten minutes at most')
  })
}

t.test('Redis: processes share a bucket, and what is not needed ends by itself', async t => {
  const clientId = newApp()
  const processes = [await redisLimits(t, undefined, clientId), await redisLimits(t, undefined, clientId)] as const
  const all = await Promise.all(Array.from({ length: 60 }, (_, call) => processes[call % 2]!.reserve('m', 'profile', 0)))
  t.equal(all.filter(({ status }) => status === 'reserved').length, 50)
  const redis = new Redis(URL)
  t.teardown(() => redis.disconnect())
  const key = bucketKey(`${clientId} m`)
  const bucketMs = await redis.pttl(key)
  t.ok(bucketMs > 20_000 && bucketMs <= 25_000, `ends when it is empty: ${bucketMs} ms`)
  await processes[0].close('m', 'crm.item.list', 300_000)
  await sleep(10)
  await processes[0].reserve('m', 'profile', 60_000)
  const closedMs = await redis.pttl(key)
  t.ok(closedMs > 290_000, `no sooner than the method is open: ${closedMs} ms`)
})

t.test('in the process: forgets portals of which there is nothing to know', async t => {
  let now = 0
  const limits = new LocalLimits(undefined, () => now)
  for (let id = 0; id < 1_000; id++) await limits.reserve(`m${id}`, 'profile', 0)
  await limits.close('m1', 'crm.item.list', 60_000)
  now = 10_000
  await limits.reserve('one more', 'profile', 0)
  t.equal(limits.size, 2)
  for (let id = 0; id < 1_500; id++) await limits.reserve(`n${id}`, 'profile', 0)
  t.equal(limits.size, 1_000 + 502, 'busy ones are kept')
})

for (const [name, open] of ADAPTERS) {
  t.test(`${name}: limits by the plan of a portal, in a bucket that all apps share`, async t => {
    const buckets = await open(t)
    const memberId = newApp()
    let install = sampleInstall(memberId, { state: 'active', clientEndpoint: `https://${memberId}.bitrix24.com/rest/` })
    const store = { get: async () => ({ version: 1, install }), swap: async (_memberId: string, _version: number, next: typeof install) => { install = next; return true } }
    let now = 0
    const limitsOf = (app: string, options = {}) => new PlanLimits({ buckets, store, app, settings: completePortalLimits(options), now: () => now })
    const [one, two, reported] = [limitsOf('one'), limitsOf('two'), limitsOf('three', { burst: 60 })]
    const fits = async (limits: PlanLimits, most: number) => {
      let calls = 0
      while (calls < most && (await limits.reserve(memberId, 'profile', 0)).status === 'reserved') calls++
      return calls
    }
    t.equal(await fits(one, 30), 30)
    const rest = await fits(two, 300)
    t.ok(rest >= 20 && rest <= 22, `what one app leaves: ${rest}`)
    const more = await fits(reported, 300)
    t.ok(more >= 10 && more <= 13, `what is told counts whatever the plan: ${more}`)
    await one.updatePlan(memberId, { LICENSE: 'en_ent250', LICENSE_TYPE: 'ent250', LICENSE_FAMILY: 'ent' })
    t.equal(install.licenseFamily, 'ent')
    const enterprise = await fits(one, 300)
    t.ok(enterprise >= 189 && enterprise <= 200, `Enterprise: ${enterprise}`)
    t.equal(await fits(two, 1), 0, 'another process has read another plan')
    now += 600_001
    t.match(await two.reserve(memberId, 'profile', 1_000), { status: 'reserved' }, 'and reads it again: five a second')
    t.equal(await fits(reported, 1), 0)
    await one.close(memberId, 'crm.item.list', 60_000)
    t.match(await one.reserve(memberId, 'crm.item.list', 5_000), { status: 'refused', full: 'method' })
    t.match(await two.reserve(memberId, 'crm.item.list', 5_000), { status: 'reserved' }, 'the time of a method counts for each app')
  })
}

t.test('the plan in what portals say', async t => {
  const cases: Array<[appInfo: unknown, family: string | undefined]> = [
    [{ LICENSE: 'ru_ent500' }, 'ent'], [{ LICENSE: 'en_pro100', LICENSE_FAMILY: 'pro' }, 'pro'], [{ LICENSE_FAMILY: 'ENT' }, 'ent'], [{ LICENSE: 5 }, undefined], [null, undefined], [{}, undefined]
  ]
  for (const [appInfo, family] of cases) {
    let install = sampleInstall('m', { state: 'active' })
    const store = { get: async () => ({ version: 1, install }), swap: async (_memberId: string, _version: number, next: typeof install) => { install = next; return true } }
    await new PlanLimits({ buckets: new LocalLimits(), store, app: 'a', settings: completePortalLimits({}) }).updatePlan('m', appInfo)
    t.equal(install.licenseFamily, family, JSON.stringify(appInfo))
  }
  t.strictSame([BUCKET_RATES, ENTERPRISE_RATES], [{ drainPerSecond: 2, burst: 50 }, { drainPerSecond: 5, burst: 250 }])
  t.equal(LocalLimits.of('/a'), LocalLimits.of('/a'))
  t.not(LocalLimits.of('/a'), LocalLimits.of('/b'))
})
