import t from 'tap'
import { ExpressLane } from '../../../src/delivery/intake/express-lane.ts'

t.test('a few lifecycle events of a portal go first in a minute, and no more', async t => {
  let now = 1_000_000
  const lane = new ExpressLane(() => now)
  const admitted = (memberId: string) => Array.from({ length: 8 }, () => lane.admits(memberId)).filter(Boolean).length
  t.equal(admitted('a'), 5)
  t.equal(admitted('b'), 5, 'another portal has places of its own')
  now += 59_999
  t.equal(admitted('a'), 0)
  now += 1
  t.equal(admitted('a'), 5)
  now -= 3_600_000
  t.equal(admitted('a'), 5, 'a clock that goes backwards keeps nobody out')
})
