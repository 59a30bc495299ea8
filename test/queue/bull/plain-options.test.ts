import { Packr } from 'msgpackr'
import t from 'tap'
import { loadBull } from '../../../src/queue/bull/load-bull.ts'
import { PlainOptions } from '../../../src/queue/bull/plain-options.ts'

// As BullMQ packs.
const { pack } = new Packr({ useRecords: false, encodeUndefinedAsNil: true })

t.test('are what BullMQ packed, without what is nothing in it', async t => {
  const options = new PlainOptions(loadBull().unpack)
  for (let count = 0; count < 600; count++) {
    const packed = pack({ token: `worker:${count % 300}`, name: undefined, limiter: null, keepJobs: { count: 0 }, lockDuration: 30_000, maxMetricsSize: '', fpof: false })
    t.same(JSON.parse(options.of(packed)), { token: `worker:${count % 300}`, keepJobs: { count: 0 }, lockDuration: 30_000, maxMetricsSize: '', fpof: false })
  }
})
