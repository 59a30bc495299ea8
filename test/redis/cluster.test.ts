import t from 'tap'
import { bucketOf } from '../../src/portal/plan-limits.ts'
import { appId, appKeys, bucketKey } from '../../src/storage/redis/keys.ts'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildApp, buildWorld } from '../helpers/app.ts'
import { startRedisCluster } from '../helpers/redis-cluster.ts'
import { secret } from '../helpers/secrets.ts'
import { until } from '../helpers/until.ts'

t.test('the plugin as a whole on a Cluster of three nodes', { timeout: 120_000 }, async t => {
  const nodes = await startRedisCluster()
  t.teardown(() => nodes.stop())
  const cluster = nodes.client()
  t.teardown(() => cluster.disconnect())
  const { app: { bitrix24 }, b24, clientId, eventsUrl, options, logs } = await buildWorld(t, { redis: cluster, delivery: { backoffMs: 5, attempts: 2 } })
  const another = await buildApp(t, { ...options, delivery: { worker: false } })
  await another.app.ready()
  const keys = appKeys(appId(clientId))
  const [acme, beta] = ['acme.bitrix24.com', 'beta.bitrix24.com'].map(domain => b24.portal(domain)) as [ReturnType<typeof b24.portal>, ReturnType<typeof b24.portal>]
  const refreshes = () => b24.requests.filter(({ grantType, memberId }) => grantType !== undefined && memberId !== undefined).length
  const heard: number[] = []
  let fails = false
  let deliveries = 0
  bitrix24.on('onCrmDealUpdate', ({ data: { FIELDS: { ID } }, coalesced }) => {
    if (fails) throw new Error('no disk')
    heard.push(ID)
    deliveries += coalesced
  })
  const sendDeal = async (ID: number, overrides = {}) => (await acme.send('onCrmDealUpdate', { FIELDS: { ID } }, { url: eventsUrl, ...overrides })).statusCode

  await t.test('an install waits for the OAuth server, and an event of its portal for the install', async t => {
    b24.fault('app.info', { status: 500, body: '{}' })
    t.equal((await acme.install(eventsUrl)).statusCode, 200)
    t.equal(await sendDeal(1), 200)
    t.equal(await sendDeal(2, { auth: { application_token: secret() } }), 403, 'the claim is of one token')
    await until(() => b24.requests.length >= 2, 'asked again')
    t.equal(await bitrix24.portal(acme.memberId), undefined)
    t.equal(await cluster.hlen(keys.pendingInstalls), 1)
    t.strictSame(heard, [])
    b24.clearFaults()
    t.equal((await beta.install(eventsUrl)).statusCode, 200)
    await waitForIdle(bitrix24, 30_000)
    const states = await Promise.all([acme, beta].map(async ({ memberId }) => (await another.app.bitrix24.portal(memberId))?.state))
    t.strictSame(states, ['active', 'active'], 'read at once, by another process')
    t.strictSame(heard, [1])
    t.match(await bitrix24.health(), { store: 'ok', events: { failedAttempts: 0, dead: 0 } })
  })

  await t.test('ordinary events are handled, repeats of one item too', async t => {
    const statusCodes = await Promise.all([3, 3, 3, 4].map(async ID => await sendDeal(ID)))
    t.strictSame(statusCodes, [200, 200, 200, 200])
    await waitForIdle(bitrix24)
    t.strictSame(new Set(heard), new Set([1, 3, 4]))
    t.equal(deliveries, 5, 'none is missing, none came twice')
  })

  await t.test('calls of two processes with an expired token cost one refresh of each portal', async t => {
    t.equal(refreshes(), 0)
    for (const portal of [acme, beta]) portal.expireTokens()
    const calls = [acme, beta].flatMap(({ memberId }) => [bitrix24, another.app.bitrix24].flatMap(of =>
      Array.from({ length: 5 }, async () => await (await of.portal(memberId))!.call('profile'))))
    for (const profile of await Promise.all(calls)) t.match(profile, { ID: '1' })
    t.equal(refreshes(), 2)
    for (const { clientEndpoint } of [acme, beta]) t.equal(await cluster.exists(bucketKey(bucketOf(clientEndpoint))), 1, 'the processes count them together')
  })

  await t.test('a dead letter is listed and replayed', async t => {
    fails = true
    t.equal(await sendDeal(5), 200)
    await until(async () => (await bitrix24.health()).queue?.dead === 1, '1 dead')
    const { items } = await another.app.bitrix24.deadLetters.list()
    t.match(items, [{ memberId: acme.memberId, name: 'onCrmDealUpdate', attempts: 2, error: { message: 'no disk' } }])
    fails = false
    t.equal(await another.app.bitrix24.deadLetters.replay(items[0]!.id), 1)
    await waitForIdle(bitrix24)
    t.equal(heard.at(-1), 5)
    t.strictSame(await bitrix24.deadLetters.list(), { items: [] })
  })

  await t.test('all keys of the app are in one slot, and no node complained', async t => {
    const stored = (await Promise.all(cluster.nodes('master').map(async node => await node.keys('*')))).flat()
    const slots = new Set(await Promise.all(stored.filter(key => !key.startsWith('b24:{limits:')).map(async key => await cluster.cluster('KEYSLOT', key))))
    t.ok(stored.length > 5, `${stored.length} keys`)
    t.equal(slots.size, 1)
    t.strictSame([...logs, ...another.logs].filter(line => /crossslot|non[- ]local key|undeclared key|MOVED \d/i.test(line)), [])
  })
})
