import t from 'tap'
import { DRIVERS } from './drivers.ts'
import { eventContract } from './event-contract.ts'

/** Cases that run at the same time. */
const SIDE_BY_SIDE = 4

t.setTimeout(300_000)

for (const { name, prepare } of DRIVERS) {
  t.test(`events on ${name} keep the contract`, async t => {
    t.jobs = SIDE_BY_SIDE
    await Promise.all(eventContract(await prepare(t)).map(({ name, run }) => t.test(name, async t => {
      await run()
      t.pass(name)
    })))
  })
}
