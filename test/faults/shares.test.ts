import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { outcome } from '../../src/testing/index.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { FaultRun, ownDeal, PLACES } from '../helpers/fault-run.ts'
import { openOfflineApp, readLines, type OfflineAppSettings } from '../helpers/offline-app.ts'
import { freePort } from '../helpers/redis-server.ts'
import { STORAGES } from '../helpers/storages.ts'
import { TokenWorld, type TokenSettings } from '../helpers/token-world.ts'
import { until } from '../helpers/until.ts'

/** The least; one portal may fill a quarter of it. */
const DELIVERY = { maxWaitingBytes: 1024 * 1024 }
const DEAL = 2
/** What waits at a portal: more than its share. */
const ROWS = 600

t.jobs = 4
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  t.test(`a portal beyond its share is refused alone, until some of its events are handled, ${name}`, { buffered: true }, async t => {
    const run = await FaultRun.open(t, storage(), { ...DELIVERY, stalledAfterMs: 1_000 })
    const [greedy, other] = run.portals as [typeof run.portals[0], typeof run.portals[0]]
    await run.kill(await run.startInstalled())
    const receiver = await run.start({ delivery: { worker: false } })
    const refused = () => run.posts.filter(({ statusCode }) => statusCode === 503).length
    const load = run.load(receiver, { portals: [greedy], orderOf: n => ({ ...ownDeal(n), ...{ TEXT: 'x'.repeat(2_000) } }) })
    await until(() => refused() >= 20, 'it is refused')
    const first = run.posts.length
    const others = run.load(receiver, { portals: [other], orderOf: ownDeal })
    await until(() => run.posts.slice(first).filter(({ item }) => item.startsWith(other.memberId)).length >= 50, 'another one posts')
    await Promise.all([load.stop(), others.stop()])

    t.ok(run.posts.every(({ item, statusCode }) => statusCode === 200 || (statusCode === 503 && item.startsWith(greedy.memberId))), 'no other is refused')
    t.match(await outcome(greedy.send('onCrmDealUpdate', { FIELDS: { ID: 1, N: '0', TEXT: 'x'.repeat(2_000) } }, { url: receiver.eventsUrl })), { statusCode: 503, body: /FST_B24_PORTAL_QUOTA/ })
    const { overQuota, store } = await receiver.health()
    t.match({ overQuota, store }, { overQuota: { [greedy.memberId]: refused() + 1 }, store: 'ok' })
    t.same(Object.keys(overQuota), [greedy.memberId])
    t.match(receiver.log(), `onQuota: ${greedy.memberId}`)

    const worker = await run.start({ port: await freePort() })
    await until(async () => {
      const from = run.posts.length
      await run.load(receiver, { portals: [greedy], concurrency: 1, orderOf: ownDeal }).stop()
      return run.posts.slice(from).some(({ statusCode }) => statusCode === 200)
    }, 'it is taken again')
    await run.waitForIdle(worker)
    t.comment(`a portal beyond its share, ${name}: ${refused()} posts of it refused, none of ${run.posts.filter(({ item }) => item.startsWith(other.memberId)).length} of another one`)
    run.judge(`a portal beyond its share, ${name}`)
  })
}

for (const { storage: name, options } of STORAGES) {
  t.test(`what a portal has beyond its share stays in its offline queue, ${name}`, { buffered: true }, async t => {
    const world = await TokenWorld.open(t, options(t) as TokenSettings['storage'])
    const [greedy, other] = ['greedy', 'other'].map(portal => world.b24.portal(`${portal}.bitrix24.com`)) as [ReturnType<typeof world.b24.portal>, ReturnType<typeof world.b24.portal>]
    for (const portal of [greedy, other]) await world.install(portal, { expired: false })
    const settings: OfflineAppSettings = { ...world.settings, journal: join(temporaryFolder(t), 'journal'), port: await freePort(), delivery: DELIVERY, offline: { pollMs: 500 } }
    const subscribed = await openOfflineApp(settings)
    await subscribed.syncFleet()
    await subscribed.close()
    for (const [portal, rows] of [[greedy, ROWS], [other, 20]] as const) {
      for (let id = 1; id <= rows; id++) await outcome(portal.change(DEAL, id, {}, { userId: 7 }))
    }

    const drains = await openOfflineApp({ ...settings, delivery: { ...DELIVERY, worker: false } })
    await until(() => other.offlineEvents.rows.length === 0, 'all of the other portal are stored')
    await sleep(1_500)
    await drains.close()
    const left = greedy.offlineEvents.rows.length
    t.ok(left > 100 && left < ROWS, `${left} stay at the portal`)
    t.strictSame(readLines(settings.journal), [])

    const works = await openOfflineApp(settings)
    t.teardown(() => works.close())
    await until(() => new Set(readLines(settings.journal)).size === ROWS + 20 && greedy.offlineEvents.rows.length === 0, 'all are handled', 30_000)
    t.comment(`an offline queue beyond the share, ${name}: sent ${ROWS + 20}, ${left} stayed at the portal, then handled ${new Set(readLines(settings.journal)).size}, lost 0, ${readLines(settings.journal).length - ROWS - 20} twice`)
  })
}
