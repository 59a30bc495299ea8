import t from 'tap'
import { HandlerRegistry } from '../../../src/events/handlers.ts'
import { openSubscriptions } from '../../../src/portal/subscriptions/open-subscriptions.ts'
import { BUCKET_RATES } from '../../../src/storage/call-rate-limits.ts'
import type { SimulatedPortal } from '../../../src/testing/index.ts'
import { methodsOf, openPortalWorld } from '../../helpers/portal-world.ts'

const URL = 'https://app.example.com/bitrix24/events'
const PORTALS = 500
const EVENTS = ['ONAPPUNINSTALL', 'ONAPPUPDATE', 'ONCRMDEALADD', 'ONCRMDEALUPDATE', 'ONCRMDYNAMICITEMUPDATE_1220', 'ONTASKADD']

t.test('500 portals, 30 % out of sync: one sync fixes all, the next changes nothing', async t => {
  const { world, rest, install } = await openPortalWorld(t, { rates: BUCKET_RATES })
  const { clientId } = world.settings
  const handlers = new HandlerRegistry<object>({ warn: () => {} })
  handlers.on(EVENTS.slice(2), () => {})
  const log = { info: () => {}, warn: () => {} }
  const { syncFleet } = openSubscriptions({ rest, store: world.place.store, handlers, publicUrl: 'https://app.example.com', prefix: '/bitrix24', options: {}, log })
  const portals = await install(PORTALS)
  for (const [index, portal] of portals.entries()) {
    // Exactly the wanted bindings.
    portal.limit({ cap: 5, drainPerSecond: 0 })
    portal.items.addType(1220)
    const add = (event: string, handler = URL, userId = 0) => portal.bindings.add({ clientId, event, handler, userId, offline: false, connector: '' })
    for (const event of index % 10 === 0 ? [] : index % 10 === 1 ? EVENTS.slice(0, 4) : EVENTS) add(event)
    // Superfluous bindings, bound to a user.
    if (index % 10 === 2) add('ONCRMLEADADD') && add('ONTASKADD', URL, 7)
    add('ONCRMLEADADD', 'https://other.example.com/hook')
  }
  const calls = () => portals.flatMap(({ calls }) => calls)
  const writes = () => portals.flatMap(methodsOf).filter(method => /^event\.(bind|unbind)$/.test(method)).length

  const plan = await syncFleet({ dryRun: true })
  t.equal(writes(), 0)
  const first = await syncFleet({ concurrency: 8 })
  t.strictSame(first.totals, plan.totals, 'it does what it said')
  t.strictSame(first.totals, { portals: PORTALS, inOrder: 350, failed: 0, skipped: 0, bound: 50 * 6 + 50 * 2, unbound: 50 * 2, refused: 0 })
  t.equal(first.reports.length, 150)
  for (const portal of portals) {
    const own = portal.bindings.find({ clientId, handler: URL })
    if (own.some(({ userId }) => userId !== 0) || own.map(({ event }) => event).sort().join() !== EVENTS.join()) t.fail(`${portal.domain} is not in order`)
    if (portal.bindings.find({ handler: 'https://other.example.com/hook' }).length !== 1) t.fail(`${portal.domain} lost what is not ours`)
  }
  t.strictSame(countsOf(portals), { 2: 350, 3: 50, 4: 100 }, 'a look of the dry run, another, and one call that changes')
  t.strictSame([...new Set(calls().map(({ status }) => status))], [200])

  const written = writes()
  const second = await syncFleet()
  t.strictSame(second.totals, { portals: PORTALS, inOrder: PORTALS, failed: 0, skipped: 0, bound: 0, unbound: 0, refused: 0 })
  t.strictSame(second.reports, [])
  t.equal(writes(), written)
  t.strictSame(countsOf(portals), { 3: 350, 4: 50, 5: 100 }, 'one look more')
  t.strictSame([...new Set(calls().map(({ status }) => status))], [200], 'no portal had to refuse a call')
})

t.test('concurrent syncs of one portal wait for each other', async t => {
  const { world, rest, install } = await openPortalWorld(t, { rates: { burst: 2, drainPerSecond: 20 } })
  const handlers = new HandlerRegistry<object>({ warn: () => {} })
  const log = { info: () => {}, warn: () => {} }
  const { syncFleet } = openSubscriptions({ rest, store: world.place.store, handlers, publicUrl: 'https://app.example.com', prefix: '/bitrix24', options: {}, log })
  const [portal] = await install()
  // Calls arrive less evenly than they are sent.
  portal!.limit({ cap: 10, drainPerSecond: 20 })
  const reports = await Promise.all(Array.from({ length: 10 }, async () => await syncFleet({ dryRun: true })))
  t.strictSame(reports.map(({ totals }) => totals.failed), Array(10).fill(0))
  t.strictSame(portal!.calls.map(({ method, status }) => [method, status]).sort(), ['event.get', 'events'].flatMap(method => Array(10).fill([method, 200])))
})

/** Histogram of calls per portal. */
function countsOf (portals: SimulatedPortal[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { calls } of portals) counts[calls.length] = (counts[calls.length] ?? 0) + 1
  return counts
}
