import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import type { InstallStore, StoredInstall } from '../../src/index.ts'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildApp, buildWorld, temporaryFolder } from '../helpers/app.ts'
import { freePort } from '../helpers/redis-server.ts'
import { secret } from '../helpers/secrets.ts'
import { STORAGES } from '../helpers/storages.ts'

function newStore (): InstallStore & { installs: Map<string, StoredInstall> } {
  const installs = new Map<string, StoredInstall>()
  return {
    installs,
    get: async memberId => installs.get(memberId),
    swap: async (memberId, version, install) => {
      if ((installs.get(memberId)?.version ?? 0) !== version) return false
      installs.set(memberId, { version: version + 1, install })
      return true
    },
    scan: async () => ({ installs: [...installs.values()].map(({ install }) => install) })
  }
}

for (const { storage, options } of STORAGES) {
  t.test(`an own store keeps the installs, and the events are elsewhere: ${storage}`, async t => {
    const store = newStore()
    const given = options(t)
    const dataDir = given.dataDir ?? join(temporaryFolder(t), 'unused')
    const { app, b24, eventsUrl, clientId } = await buildWorld(t, { store, ...given, dataDir })
    const portal = b24.portal('acme.bitrix24.com')
    t.equal((await portal.install(eventsUrl)).statusCode, 200)
    await waitForIdle(app.bitrix24)
    const heard: number[] = []
    app.bitrix24.on('onCrmDealAdd', event => { heard.push(event.data.FIELDS.ID) })
    t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 5 } })).statusCode, 200)
    await waitForIdle(app.bitrix24)
    t.strictSame(heard, [5])
    t.strictSame([...store.installs.keys()], [portal.memberId])
    if (given.redis === undefined) {
      t.strictSame(readdirSync(join(dataDir, appId(clientId))).sort(), ['storage.db', 'storage.db-shm', 'storage.db-wal'])
      return
    }
    const redis = new Redis(given.redis as string)
    t.teardown(() => redis.quit())
    t.equal(existsSync(dataDir), false)
    t.equal(await redis.exists(appKeys(appId(clientId)).install(portal.memberId)), 0)
    t.ok((await redis.keys(`b24:{${appId(clientId)}}:*`)).length > 0)
  })
}

t.test('an app with an own store does not start without its Redis', async t => {
  const keys = { clientId: 'local.own-store', clientSecret: secret() }
  await t.rejects(buildApp(t, { ...keys, store: newStore(), redis: `redis://127.0.0.1:${await freePort()}` }), { code: 'FST_B24_STORE_UNAVAILABLE' })
})
