import { randomUUID } from 'node:crypto'
import t from 'tap'
import { openStorage } from '../../src/storage/open-storage.ts'
import { appId } from '../../src/storage/redis/keys.ts'
import { waitForIdle } from '../../src/testing/index.ts'
import { buildWorld } from '../helpers/app.ts'
import { secret } from '../helpers/secrets.ts'
import { STORAGES } from '../helpers/storages.ts'
import { storageSettings } from '../helpers/test-storage.ts'
import { until } from '../helpers/until.ts'

for (const { storage, options } of STORAGES) {
  t.test(`what others put into the queue is a dead letter, and holds nobody up, ${storage}`, { timeout: 60_000 }, async t => {
    const given = options(t)
    const { app: { bitrix24 }, b24, clientId, eventsUrl } = await buildWorld(t, { ...given, delivery: { backoffMs: 5, attempts: 3 } })
    const portal = b24.portal('acme.bitrix24.com')
    const heard: unknown[] = []
    bitrix24.on('onCrmDealUpdate', ({ data, attempt }) => { heard.push([data.FIELDS.ID, attempt]) })
    t.equal((await portal.install(eventsUrl)).statusCode, 200)
    await waitForIdle(bitrix24)

    const past = await openStorage({ redis: given.redis, dataDir: given.dataDir ?? '' }, storageSettings(appId(clientId)))
    t.teardown(() => past.close())
    /** Puts text into the queue of the app, past the plugin. */
    const put = async (data: unknown) => {
      const body = typeof data === 'string' ? data : JSON.stringify(data)
      t.strictSame(await past.events.add([{ id: randomUUID(), group: portal.memberId, code: 'ONCRMDEALUPDATE', isPriority: false, body }]), ['stored'])
    }
    const eventOf = (id: string, v: number) => ({
      id,
      memberId: portal.memberId,
      code: 'ONCRMDEALUPDATE',
      receivedAt: Date.now(),
      payload: { v, envelope: { event: 'ONCRMDEALUPDATE', data: { FIELDS: { ID: '7' } }, auth: { member_id: portal.memberId } } }
    })
    await put({ to: 'somebody', token: secret() })
    await put(eventOf('of-another-version', 2))
    await until(async () => (await bitrix24.health()).queue?.dead === 2, '2 dead')
    t.strictSame(heard, [])
    t.match(await bitrix24.health(), { queue: { waiting: 0, active: 0 }, events: { dead: 2, failedAttempts: 0 } })

    const { items } = await bitrix24.deadLetters.list()
    const shownOf = (memberId: string) => items.find(deadLetter => deadLetter.memberId === memberId)
    const [strange, older] = [shownOf(''), shownOf(portal.memberId)]
    const common = { attempts: 1, coalesced: 1, error: { code: 'FST_B24_FOREIGN_JOB' }, raw: undefined }
    t.match(strange, { ...common, code: '', name: '' })
    t.match(older, { ...common, code: 'ONCRMDEALUPDATE', name: 'onCrmDealUpdate' })
    t.strictSame((await bitrix24.deadLetters.list({ memberId: portal.memberId })).items, [older])
    for (const deadLetter of items) t.strictSame(await bitrix24.deadLetters.get(deadLetter.id), deadLetter)

    t.equal((await portal.send('onCrmDealUpdate', { FIELDS: { ID: 8 } })).statusCode, 200)
    await waitForIdle(bitrix24)
    t.strictSame(heard, [[8, 1]], 'the next event is handled')
    await put(eventOf('of-this-version', 1))
    await until(() => heard.length === 2, 'so is one that differs in its version alone')
    t.strictSame(heard.at(-1), [7, 1])

    t.equal(await bitrix24.deadLetters.discard(strange!.id), 1)
    t.equal(await bitrix24.deadLetters.get(strange!.id), undefined)
    t.strictSame((await bitrix24.deadLetters.list()).items, [older])
    t.equal(await bitrix24.deadLetters.discard({}), 1)
    t.strictSame((await bitrix24.deadLetters.list()).items, [])
    await until(async () => (await bitrix24.health()).queue?.dead === 0, 'none is left')
  })
}
