import t from 'tap'
import { ClockWatch } from '../../../src/queue/bull/clock-watch.ts'

t.test('a clock that is set back is noticed once, and one that goes forward is not', async t => {
  let step = 0
  let noticed = 0
  const watch = new ClockWatch(() => { noticed++ }, () => performance.now() + step)
  watch.look()
  step -= 500
  watch.look()
  step += 3_600_000
  watch.look()
  t.equal(noticed, 0)
  step -= 3_600_000
  watch.look()
  watch.look()
  t.equal(noticed, 1)
})
