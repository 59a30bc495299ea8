import t, { type Test } from 'tap'
import type { FastifyBitrix24Options } from '../../src/index.ts'
import { untilIdle } from '../../src/testing/index.ts'
import { buildWorld } from '../helpers/app.ts'
import { STORAGES } from '../helpers/storages.ts'
import { until } from '../helpers/until.ts'

const PUBLIC = 'https://app.example.com'

async function installed (t: Test, options: Partial<FastifyBitrix24Options>) {
  const { app: { bitrix24 }, b24, eventsUrl, logs } = await buildWorld(t, options)
  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(eventsUrl)).statusCode, 200)
  await untilIdle(bitrix24)
  return { bitrix24, b24, portal, logs, known: async () => (await bitrix24.portal(portal.memberId))! }
}

for (const { storage, options } of STORAGES) {
  t.test(`a handler acts on its portal, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const id = (await portal.change(1220, 7, { title: 'first' }), 7)
    const seen: unknown[] = []
    bitrix24.on('onCrmDynamicItemUpdate', async ({ data: { FIELDS } }, { portal, signal }) => {
      const { item } = await portal.call<{ item: { id: number, title: string } }>('crm.item.get', { entityTypeId: FIELDS.ENTITY_TYPE_ID, id: FIELDS.ID }, { signal })
      seen.push(item.title)
    })
    portal.expireTokens()
    await portal.send('onCrmDynamicItemUpdate', { FIELDS: { ID: id, ENTITY_TYPE_ID: 1220 } })
    await untilIdle(bitrix24)
    t.strictSame(seen, ['first'])

    const mine = await known()
    t.match(await mine.installation(), { isFinished: true, isPaymentExpired: false, version: '1' })
    t.match(await (await mine.client()).actions.v2.call.make({ method: 'profile' }), { isSuccess: true })
    t.match((await mine.batch([['profile', {}], ['scope', {}]])).isSuccess, true)
    const pages: unknown[] = []
    for await (const page of mine.list<{ id: number }>('crm.item.list', { entityTypeId: 1220 }, { customKeyForResult: 'items', idKey: 'id' })) pages.push(...page)
    t.match(pages, [{ id: 7 }])
    await t.rejects(mine.call('no.such.method'), { code: 'FST_B24_PORTAL_CALL', portalCode: 'ERROR_METHOD_NOT_FOUND' })
    await t.rejects(mine.subscriptions.sync(), { code: 'FST_B24_NO_PUBLIC_URL' })
    await t.rejects(bitrix24.syncSubscriptions(), { code: 'FST_B24_NO_PUBLIC_URL' })
  })

  t.test(`a portal is subscribed when it has installed the app, ${storage}`, async t => {
    const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, { ...options(t), publicUrl: PUBLIC })
    bitrix24.on('onCrmDealUpdate', async () => {})
    const portal = b24.portal('acme.bitrix24.com')
    await portal.install(eventsUrl)
    await untilIdle(bitrix24)
    const bound = portal.bindings.find({ handler: `${PUBLIC}/bitrix24/events` }).map(({ event }) => event).sort()
    t.strictSame(bound, ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALUPDATE'])
    t.match(await bitrix24.syncSubscriptions(), { totals: { portals: 1, inOrder: 1, bound: 0, unbound: 0 } })
  })

  t.test(`what becomes of a portal is told, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const told: unknown[] = []
    bitrix24.addHook('onPortalRenamed', ({ portal, from, to }) => { told.push(['renamed', portal.domain, from, to]) })
    bitrix24.addHook('onSuspended', ({ portal }) => { told.push(['suspended', portal.state]) })
    bitrix24.addHook('onReauthRequired', ({ portal }) => { told.push(['reauth', portal.state]) })
    portal.rename('new.bitrix24.com')
    t.match(await (await known()).call('profile'), { ADMIN: true })
    await until(() => told.length === 1, 'it is renamed')
    portal.paid = false
    portal.expireTokens()
    await t.rejects((await known()).call('profile'), { code: 'FST_B24_PORTAL_SUSPENDED' })
    await until(() => told.length === 2, 'it is suspended')
    t.strictSame(told, [['renamed', 'new.bitrix24.com', 'acme.bitrix24.com', 'new.bitrix24.com'], ['suspended', 'suspended']])
  })

  t.test(`a portal of which only dead tokens are left has to install again, ${storage}`, async t => {
    const { bitrix24, portal, known } = await installed(t, options(t))
    const told: unknown[] = []
    bitrix24.addHook('onReauthRequired', ({ portal }) => { told.push(portal.state) })
    portal.installer!.alive = false
    portal.expireTokens()
    await t.rejects((await known()).call('profile'), { code: 'FST_B24_REAUTH_REQUIRED' })
    await until(() => told.length === 1, 'it is told')
    t.strictSame(told, ['reauth_required'])
    await portal.reinstall()
    await untilIdle(bitrix24)
    t.match(await (await known()).call('profile'), { ADMIN: true })
  })
}
