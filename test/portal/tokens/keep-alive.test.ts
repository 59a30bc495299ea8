import t, { type Test } from 'tap'
import type { SimulatedPortal } from '../../../src/testing/index.ts'
import { storeUnavailable } from '../../../src/storage/unavailable.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { TokenWorld } from '../../helpers/token-world.ts'

const DAY_MS = 24 * 60 * 60 * 1000

async function openFleet (t: Test, size: number): Promise<{ world: TokenWorld, portals: SimulatedPortal[] }> {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const portals = Array.from({ length: size }, (_, i) => world.b24.portal(`p${i}.bitrix24.com`))
  await Promise.all(portals.map(portal => world.install(portal)))
  return { world, portals }
}

async function renewed (world: TokenWorld, portals: SimulatedPortal[]): Promise<number> {
  const records = await Promise.all(portals.map(portal => world.record(portal)))
  return records.filter(({ generation }) => generation === 2).length
}

t.test('refreshes pairs idle for 150 days, up to ten per sweep', async t => {
  const { world, portals } = await openFleet(t, 14)
  const keepAlive = world.keepAlive(t)
  world.aheadMs = 149 * DAY_MS
  await keepAlive.run()
  t.equal(world.refreshes, 0)
  world.aheadMs = 151 * DAY_MS
  await keepAlive.run()
  t.equal(world.refreshes, 10)
  await keepAlive.run()
  t.equal(world.refreshes, 14)
  t.equal(await renewed(world, portals), 14)
  await keepAlive.run()
  t.equal(world.refreshes, 14)
})

t.test('refreshes a twentieth of the due pairs of a large fleet', async t => {
  const { world } = await openFleet(t, 241)
  world.aheadMs = 151 * DAY_MS
  await world.keepAlive(t).run()
  t.equal(world.refreshes, 13)
})

t.test('refreshes only valid pairs of active portals', async t => {
  const { world, portals } = await openFleet(t, 5)
  const [, unpaid, lost, gone, old] = portals as [SimulatedPortal, SimulatedPortal, SimulatedPortal, SimulatedPortal, SimulatedPortal]
  await world.install(portals[0]!, { systemUser: true })
  await world.change(portals[0]!, ({ installer }) => ({ installer: { ...installer!, isDead: true } }))
  await world.change(unpaid, () => ({ state: 'suspended' }))
  await world.change(lost, () => ({ state: 'reauth_required' }))
  await world.change(gone, () => ({ state: 'uninstalled' }))
  await world.change(old, ({ installer: { refreshedAt, ...installer } = {} as never }) => ({ installer }))
  world.aheadMs = 151 * DAY_MS
  await world.keepAlive(t).run()
  t.equal(world.refreshes, 2)
  t.match(await world.record(portals[0]!), { systemUser: { generation: 4 } })
  t.match(await world.record(old), { installer: { generation: 2 } })
})

t.test('refreshes the pairs of both users of a portal', async t => {
  const { world, portals: [acme] } = await openFleet(t, 1)
  await world.install(acme!, { systemUser: true })
  world.aheadMs = 151 * DAY_MS
  await world.keepAlive(t).run()
  t.equal(world.refreshes, 2)
})

t.test('skips pairs that another process refreshes or has refreshed', async t => {
  const { world, portals } = await openFleet(t, 3)
  world.aheadMs = 151 * DAY_MS
  const lock = await world.place.locks.take(`refresh:${portals[0]!.memberId}`, 60_000)
  await world.keepAlive(t).run()
  t.equal(world.refreshes, 2)
  await lock?.release()
  await Promise.all([world.keepAlive(t).run(), world.keepAlive(t).run(), world.keepAlive(t).run()])
  t.equal(world.refreshes, 3)
})

t.test('reports an invalid pair and continues', async t => {
  const { world, portals } = await openFleet(t, 3)
  world.aheadMs = 151 * DAY_MS
  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' }, times: 1 })
  await world.change(portals[0]!, ({ installer }) => ({ installer: { ...installer!, encrypted: 'x' } }))
  await world.keepAlive(t, { times: { graceMs: 50 } }).run()
  t.equal(world.refreshes, 2)
  t.equal(world.reported.length, 1)
  const [, { memberId, err }] = world.logs.find(line => (line as unknown[])[2] === 'failed to refresh idle token') as [string, { memberId: string, err: object }]
  t.match({ memberId, err }, { memberId: portals[0]!.memberId, err: { code: 'FST_B24_DECRYPTION_FAILED' } })
})

t.test('a sweep stops after several outage errors in a row, and on close', async t => {
  const { world, portals } = await openFleet(t, 5)
  world.aheadMs = 151 * DAY_MS
  const lift = world.b24.fault('token', { status: 500 })
  await world.keepAlive(t).run()
  t.equal(world.refreshes, 3, 'one alone may be about its portal')
  t.ok(world.logs.some(line => (line as unknown[])[2] === 'token keep-alive failed'))
  lift()
  const scan = async () => { throw storeUnavailable(new Error('away')) }
  await world.keepAlive(t, { scan }).run()
  await world.keepAlive(t, { signal: AbortSignal.abort() }).run()
  t.equal(world.refreshes, 3)
  const tokens = world.tokens(t)
  await tokens.close()
  await t.rejects(tokens.refreshIdle(portals[0]!.memberId, 'installer', world.now()), { code: 'FST_B24_CLOSING' })
})
