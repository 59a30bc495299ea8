import t from 'tap'
import { OperatingResets, type PortalBlock, PortalBlocks } from '../../../src/portal/rest/observed-limits.ts'

t.test('derives from the last success how long operating time is used up', async t => {
  let now = 0
  const resets = new OperatingResets(() => now)
  resets.record('m', 'crm.item.list', { finish: 1_000, operating_reset_at: 1_090 })
  t.equal(resets.waitMs('m', 'CRM.Item.List'), 90_000)
  now = 80_000
  t.equal(resets.waitMs('m', 'crm.item.list'), 10_000)
  t.equal(resets.waitMs('m', 'profile'), undefined)
  t.equal(resets.waitMs('other', 'crm.item.list'), undefined)
  now = 90_000
  t.equal(resets.waitMs('m', 'crm.item.list'), undefined, 'it is over')
  for (const time of [undefined, {}, { operating_reset_at: 'soon' }, { operating_reset_at: Infinity, finish: 1 }]) resets.record('odd', 'x', time)
  t.equal(resets.size, 1)
  for (let i = 0; i < 6_000; i++) resets.record(`m${i}`, 'x', { finish: 1, operating_reset_at: 2 })
  t.equal(resets.size, 5_000)
})

const block = (memberId: string, reason: string, method = 'crm.item.get'): PortalBlock => ({ memberId, reason, method, retryAfterMs: 60_000 })

t.test('a block is notified once, prevents calls until its retry, and ends with the next success', async t => {
  let now = 0
  const reported: PortalBlock[] = []
  const blocks = new PortalBlocks({ onBlocked: each => reported.push(each), now: () => now })
  t.equal(blocks.errorFor('m', 'crm.item.get'), undefined)
  blocks.add('method', block('m', 'METHOD_CONFIRM_WAITING', 'crm.item.get'))
  t.match(blocks.errorFor('m', 'CRM.item.get'), { code: 'FST_B24_PORTAL_LIMIT', portalCode: 'METHOD_CONFIRM_WAITING', retryAfterMs: 60_000 })
  t.equal(blocks.errorFor('m', 'profile'), undefined, 'other methods are open')
  t.equal(blocks.errorFor('other', 'crm.item.get'), undefined)
  blocks.add('portal', block('m', 'OVERLOAD_LIMIT'))
  t.match(blocks.errorFor('m', 'profile'), { portalCode: 'OVERLOAD_LIMIT' })
  now = 60_000
  t.equal(blocks.errorFor('m', 'profile'), undefined, 'it is time to ask again')
  t.match(blocks.list(), [{ reason: 'METHOD_CONFIRM_WAITING', retryAfterMs: 0 }, { reason: 'OVERLOAD_LIMIT', retryAfterMs: 0 }])
  blocks.add('portal', block('m', 'OVERLOAD_LIMIT'))
  t.equal(reported.length, 2, 'what is known is not told again')
  blocks.clear('m', 'crm.item.get')
  t.strictSame(blocks.list(), [])
  blocks.add('portal', block('m', 'OVERLOAD_LIMIT'))
  t.equal(reported.length, 3)
  now += 25 * 60 * 60 * 1000
  t.strictSame(blocks.list(), [], 'nobody calls it any more')
  for (let i = 0; i < 1_100; i++) blocks.add('portal', block(`m${i}`, 'OVERLOAD_LIMIT'))
  t.equal(blocks.list().length, 1_000)
})
