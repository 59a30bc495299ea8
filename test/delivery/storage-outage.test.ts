import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { InstallStore, StoredInstall } from '../../src/index.ts'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildWorld, temporaryFolder } from '../helpers/app.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(90_000)

for (const owner of ['the plugin', 'the caller'] as const) {
  t.test(`Redis goes and comes back, with a client of ${owner}`, { timeout: 60_000 }, async t => {
    const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    const client = new Redis(server.url, { lazyConnect: true })
    client.on('error', () => {})
    t.teardown(async () => { client.disconnect(); await server.stop() })
    const { app, b24, eventsUrl, logs } = await buildWorld(t, { redis: owner === 'the plugin' ? server.url : client, delivery: { stalledAfterMs: 2000 } })
    const portal = b24.portal('acme.bitrix24.com')
    const heard: number[] = []
    app.bitrix24.on('onCrmDealAdd', event => { heard.push(event.data.FIELDS.ID) })
    t.equal((await portal.install(eventsUrl)).statusCode, 200)
    await waitForIdle(app.bitrix24)
    t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } })).statusCode, 200)

    await server.kill()
    for (const late of [b24.portal('late.bitrix24.com').install(eventsUrl), portal.send('onCrmDealAdd', { FIELDS: { ID: 2 } })]) {
      const began = Date.now()
      const delivery = await late
      t.equal(delivery.statusCode, 503)
      t.match(delivery.json(), { code: 'FST_B24_STORE_UNAVAILABLE' })
      t.ok(Date.now() - began < 3_000, 'within a second or so')
    }
    t.match(await app.bitrix24.health(), { store: 'unavailable' })

    await server.restart()
    let statusCode = 0
    for (let tries = 0; statusCode !== 200 && tries < 50; tries++) {
      await sleep(100)
      statusCode = (await portal.send('onCrmDealAdd', { FIELDS: { ID: 3 } })).statusCode
    }
    t.equal(statusCode, 200, 'it recovers by itself')
    await waitForIdle(app.bitrix24)
    // What was answered 503 may have been stored all the same.
    t.strictSame([...new Set(heard)].filter(id => id !== 2).sort(), [1, 3])
    const reported = logs.map(line => JSON.parse(line)).filter(({ msg }) => /^Redis /.test(msg)).map(({ level, msg }) => [level, msg])
    t.strictSame(reported, [[40, 'Redis connection lost'], [40, 'Redis connection restored']], 'the log reports one outage, though several connections saw it')
    t.notMatch(logs.join(''), 'maxRetriesPerRequest', 'no option of a library is advised')
  })
}

t.test('a custom store that fails for one portal is logged once, and its events are retried', { timeout: 60_000 }, async t => {
  const records = new Map<string, StoredInstall>()
  let fails = 0
  const failing = new Set<string>()
  const store: InstallStore = {
    get: async (memberId) => {
      if (!failing.has(memberId)) return records.get(memberId)
      fails++
      throw new Error('a row that no one can read')
    },
    swap: async (memberId, version, install) => records.set(memberId, { version: version + 1, install }).size > 0,
    scan: async () => ({ installs: [] })
  }
  const { app: { bitrix24 }, b24, eventsUrl, logs } = await buildWorld(t, { store, dataDir: temporaryFolder(t), delivery: { attempts: 2, backoffMs: 400 } })
  const portal = b24.portal('acme.bitrix24.com')
  await portal.install(eventsUrl)
  await waitForIdle(bitrix24)
  const heard: number[] = []
  bitrix24.on('onCrmDealAdd', ({ attempt }) => {
    heard.push(attempt)
    if (attempt > 1) return
    failing.add(portal.memberId)
    throw new Error('not yet')
  })
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } })).statusCode, 200)
  await until(() => fails > 2, 'it is tried again')
  const reported = logs.filter(line => line.includes('a row that no one can read'))
  t.equal(reported.length, 1)
  t.match(JSON.parse(reported[0]!), { level: 40, err: { portal: portal.memberId } })
  failing.clear()
  await waitForIdle(bitrix24, 20_000)
  t.strictSame(heard, [1, 2], 'and no attempt is lost')
})

t.test('a reinstall whose write failed does not bring back a portal that was removed meanwhile', { timeout: 60_000 }, async t => {
  const records = new Map<string, StoredInstall>()
  const second = Math.floor(Date.now() / 1000)
  const seconds = { install: second - 20, reinstall: second - 10, uninstall: second }
  let refused = 0
  const store: InstallStore = {
    get: async memberId => records.get(memberId),
    swap: async (memberId, version, install) => {
      if (install.ts === seconds.reinstall && refused++ === 0) throw new Error('the disk is full')
      return records.set(memberId, { version: version + 1, install }).size > 0
    },
    scan: async () => ({ installs: [] })
  }
  const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, { store, dataDir: temporaryFolder(t) })
  const reported: string[] = []
  for (const name of ['onInstall', 'onUninstall'] as const) bitrix24.addHook(name, () => { reported.push(name) })
  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(eventsUrl, { ts: seconds.install })).statusCode, 200)
  await waitForIdle(bitrix24)
  t.equal((await portal.install(eventsUrl, { ts: seconds.reinstall })).statusCode, 200)
  await until(() => refused > 0, 'the reinstall is proved, and not written')
  t.equal((await portal.uninstall({ ts: seconds.uninstall })).statusCode, 200)
  await waitForIdle(bitrix24, 30_000)
  t.equal((await bitrix24.portal(portal.memberId))?.state, 'uninstalled')
  t.strictSame(reported, ['onInstall', 'onUninstall'])
})
