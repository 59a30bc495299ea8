import t from 'tap'
import { FST_B24_INSTALL_BUSY } from '../../src/errors.ts'
import { createCheckQueue } from '../../src/oauth/check-queue.ts'

/** A check that ends when the test says so, and counts how many run. */
function gate () {
  let open = () => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  const state = { running: 0, most: 0, done: 0 }
  const check = async () => {
    state.most = Math.max(state.most, ++state.running)
    await opened
    state.running--
    return ++state.done
  }
  return { check, open: () => open(), state }
}

const settle = async () => await new Promise(resolve => setImmediate(resolve))

t.test('runs 16 checks at once, lets 256 wait, refuses more and leaves nothing behind', async t => {
  const queue = createCheckQueue()
  const { check, open, state } = gate()
  const checks = Array.from({ length: 272 }, (_, n) => queue.run(`portal ${n}`, false, check))
  await t.rejects(queue.run('one more', false, check), new FST_B24_INSTALL_BUSY())
  await settle()
  t.equal(state.running, 16)
  t.equal(queue.size, 272)
  open()
  await Promise.all(checks)
  t.strictSame(state, { running: 0, most: 16, done: 272 })
  t.equal(queue.size, 0)
  t.equal(await queue.run('one more', false, check), 273)
})

t.test('runs one check of a portal at a time and lets two wait', async t => {
  const queue = createCheckQueue()
  const { check, open, state } = gate()
  const checks = [1, 2, 3].map(() => queue.run('portal', false, check))
  await t.rejects(queue.run('portal', false, check), new FST_B24_INSTALL_BUSY())
  const other = queue.run('other', false, check)
  await settle()
  t.equal(state.running, 2, 'another portal does not wait for it')
  open()
  t.same((await Promise.all(checks)).toSorted(), [1, 3, 4])
  t.equal(await other, 2)
  t.equal(queue.size, 0)
})

t.test('keeps a lane for portals that are known, which claims of their id do not block either', async t => {
  const queue = createCheckQueue({ concurrency: 1, waiting: 1, waitingPerPortal: 1 })
  const flood = gate()
  const claims = [queue.run('known', false, flood.check), queue.run('known', false, flood.check)]
  await t.rejects(queue.run('known', false, flood.check), new FST_B24_INSTALL_BUSY())
  t.equal(await queue.run('known', true, async () => 'checked'), 'checked')
  flood.open()
  await Promise.all(claims)
  t.equal(queue.size, 0)
})

t.test('passes a failure on and goes on', async t => {
  const queue = createCheckQueue({ concurrency: 1 })
  const failing = queue.run('portal', false, async () => { throw new Error('failed') })
  const next = queue.run('portal', false, async () => 'next')
  await t.rejects(failing, { message: 'failed' })
  t.equal(await next, 'next')
  await t.rejects(queue.run('portal', false, () => { throw new Error('at once') }), { message: 'at once' })
  t.equal(queue.size, 0)
})
