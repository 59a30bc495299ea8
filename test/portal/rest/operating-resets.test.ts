import t from 'tap'
import { OperatingResets } from '../../../src/portal/rest/operating-resets.ts'

t.test('the last success of a method tells how long its time is used up', async t => {
  let now = 0
  const resets = new OperatingResets(() => now)
  resets.note('m', 'crm.item.list', { finish: 1_000, operating_reset_at: 1_090 })
  t.equal(resets.waitMs('m', 'CRM.Item.List'), 90_000)
  now = 80_000
  t.equal(resets.waitMs('m', 'crm.item.list'), 10_000)
  t.equal(resets.waitMs('m', 'profile'), undefined)
  t.equal(resets.waitMs('other', 'crm.item.list'), undefined)
  now = 90_000
  t.equal(resets.waitMs('m', 'crm.item.list'), undefined, 'it is over')
  for (const time of [undefined, {}, { operating_reset_at: 'soon' }, { operating_reset_at: Infinity, finish: 1 }]) resets.note('odd', 'x', time)
  t.equal(resets.size, 1)
  for (let i = 0; i < 6_000; i++) resets.note(`m${i}`, 'x', { finish: 1, operating_reset_at: 2 })
  t.equal(resets.size, 5_000)
})
