import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { BullPlaces } from '../../../src/queue/bull/bull-places.ts'
import { until } from '../../helpers/until.ts'

/** Four places, of which portal `a` has its share, three; another portal was seen before. */
async function openFull (call: (jobId: string) => Promise<unknown> = async () => {}): Promise<{ places: BullPlaces, called: string[] }> {
  const called: string[] = []
  const places = new BullPlaces(4, async (jobId) => { called.push(jobId); return await call(jobId) })
  for (const portal of ['b', 'a']) places.see(portal)
  await places.take('b', '0', true)
  places.leave('b')
  for (const jobId of ['1', '2', '3']) await places.take('a', jobId, true)
  return { places, called }
}

t.test('a job whose portal has its share waits a moment for a place, then gets none', async t => {
  const { places } = await openFull()
  const began = performance.now()
  t.equal(await places.take('a', '4', true), false)
  t.ok(performance.now() - began >= 195)
  t.equal(await places.take('b', '5', true), true, 'another portal has one at once')
})

t.test('jobs that wait get the places that are left, in their order', async t => {
  const { places } = await openFull()
  const got: string[] = []
  const waits = ['4', '5'].map(async jobId => { if (await places.take('a', jobId, true)) got.push(jobId) })
  places.leave('a')
  await sleep(0)
  t.strictSame(got, ['4'])
  places.leave('a')
  await Promise.all(waits)
  t.strictSame(got, ['4', '5'])
})

t.test('what was set aside is called back in its order, and its place is kept for it', async t => {
  const { places, called } = await openFull()
  for (const jobId of ['4', '5']) {
    t.equal(await places.take('a', jobId, true), false)
    places.setAside('a', jobId)
  }
  t.strictSame(called, [])
  places.leave('a')
  t.strictSame(called, ['4'])
  t.equal(await places.take('a', '6', true), false, 'one that comes later has to wait')
  places.setAside('a', '6')
  t.equal(await places.take('a', '4', false), true)
  places.leave('a')
  places.leave('a')
  t.strictSame(called, ['4', '5', '6'])
})

t.test('a place is kept for no longer than a second, and not for a job that has come by itself', async t => {
  const { places, called } = await openFull(async jobId => { if (jobId === '5') throw new Error('not delayed') })
  for (const jobId of ['4', '5', '6']) {
    await places.take('a', jobId, true)
    places.setAside('a', jobId)
  }
  t.equal(await places.take('a', '4', false), false, 'it came, and has to wait again')
  places.setAside('a', '4')
  places.leave('a')
  await until(() => called.length === 2, 'the next one is called')
  t.strictSame(called, ['5', '6'])
  await until(() => called.length === 3, 'and one more, as that does not come')
  t.strictSame(called, ['5', '6', '4'])
  t.equal(await places.take('a', '4', false), true)
})

t.test('on closing all that was set aside is called back, for others', async t => {
  const { places, called } = await openFull()
  for (const jobId of ['4', '5']) {
    await places.take('a', jobId, true)
    places.setAside('a', jobId)
  }
  places.close()
  t.strictSame(called, ['4', '5'])
})
