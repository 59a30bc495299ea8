import t from 'tap'
import { ImEvents } from '../../../src/testing/portal/event-queues.ts'

const HOUR = 3_600_000

t.test('events are kept for who has subscribed, until they are acknowledged', async t => {
  const events = new ImEvents(() => Date.UTC(2026, 0, 1))
  t.strictSame(events.fetch(1, 7), { events: [], nextOffset: 7, hasMore: false }, 'nobody has subscribed')
  events.add({ code: 'ONIMV2MESSAGEADD', data: { n: 0 } })
  events.subscribe(1)
  events.subscribe(1)
  events.subscribe(2)
  for (const n of [1, 2, 3]) events.add({ code: 'ONIMV2MESSAGEADD', data: { n } })
  const { events: [first, second], nextOffset, hasMore } = events.fetch(1, undefined, 2)
  t.match(first, { type: 'ONIMV2MESSAGEADD', date: '2026-01-01T00:00:00+00:00', data: { n: 1 } })
  t.strictSame([nextOffset, hasMore], [second!.eventId + 1, true])
  t.equal(events.fetch(1).events.length, 3, 'given again as long as nothing is acknowledged')
  t.match(events.fetch(1, nextOffset), { events: [{ data: { n: 3 } }], hasMore: false })
  t.equal(events.fetch(1).events.length, 1, 'the others are gone')
  t.equal(events.fetch(2).events.length, 3, 'those of another user stay')

  events.unsubscribe(1)
  events.add({ code: 'ONIMV2JOINCHAT', data: undefined })
  t.equal(events.fetch(1).events.length, 1, 'what was kept stays')
  t.match(events.fetch(2).events.at(-1), { type: 'ONIMV2JOINCHAT', data: {} })
  t.strictSame(events.subscribed, [2])
})

t.test('events are given up to a limit, and kept for a day', async t => {
  let now = 0
  const events = new ImEvents(() => now)
  events.subscribe(1)
  for (let n = 0; n < 1_100; n++) events.add({ code: 'ONIMV2MESSAGEADD', data: { n } })
  const lengths = [undefined, 1, 0, -5, 5_000].map(limit => events.fetch(1, 0, limit).events.length)
  t.strictSame(lengths, [100, 1, 1, 1, 1_000])
  now = 24 * HOUR
  t.equal(events.fetch(1).events.length, 100)
  now++
  t.equal(events.fetch(1).events.length, 0)
})
