import t from 'tap'
import { backoffOf } from '../../src/storage/backoff.ts'

t.test('the wait is doubled after each attempt up to an hour, less up to half of it', async t => {
  const table: Array<[attempt: number, longest: number]> = [[1, 1_000], [2, 2_000], [5, 16_000], [12, 2_048_000], [13, 3_600_000], [500, 3_600_000]]
  for (const [attempt, longest] of table) {
    const waits = Array.from({ length: 200 }, () => backoffOf(attempt, 1_000))
    t.ok(waits.every(wait => wait >= longest / 2 && wait <= longest), `attempt ${attempt}`)
    t.ok(new Set(waits).size > 50, 'spread at random')
  }
  t.equal(backoffOf(1, 0), 1)
})
