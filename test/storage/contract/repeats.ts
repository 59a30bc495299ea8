import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, failed, newEvent, newEvents, newLatch, type Seen, type Trial } from './trial.ts'

const REPEATED = { key: 'deal:1', coalesce: true }
/** Long enough for a repeat to come meanwhile, however busy the machine is. */
const HELD_MS = 1_500
/** Longer than any case goes on. */
const HOUR_MS = 60 * 60 * 1000

/** Waiting repeats become one; none is lost. */
export const REPEATS: Record<string, (trial: Trial) => Promise<void>> = {
  async 'makes one of a hundred repeats that wait' (trial) {
    const queue = await trial.open()
    const events = newEvents(100, REPEATED)
    await Promise.all(events.map(event => queue.add(event)))
    trial.work(queue)
    await trial.settled(queue, 1)
    assert.deepEqual(trial.runs.map(({ attempt, coalesced, progress }) => [attempt, coalesced, progress]), [[1, 100, undefined]])
    assert.ok(events.some(({ id }) => id === trial.ids[0]))
  },

  async 'hands over the newest of the repeats that became one' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    await addAll(queue, [1, 2, 3].map(payload => newEvent({ ...REPEATED, payload })))
    trial.work(queue, async () => {
      if (trial.runs.length > 1) return
      await latch.opened
      return failed()
    })
    await until(() => trial.runs.length === 1, 'it runs')
    await addAll(queue, [4, 5].map(payload => newEvent({ ...REPEATED, payload })))
    latch.open()
    await trial.settled(queue, 2)
    assert.deepEqual(trial.runs.map(({ event: { payload }, coalesced }) => [payload, coalesced]), [[3, 3], [5, 5]])
  },

  async 'handles each repeat that may not be coalesced' (trial) {
    const queue = await trial.open()
    const events = newEvents(10, { key: 'deal:1' })
    await addAll(queue, events)
    trial.work(queue)
    await trial.settled(queue, 10)
    assert.deepEqual(trial.ids.sort(), events.map(({ id }) => id).sort())
    assert.ok(trial.runs.every(({ coalesced }) => coalesced === 1))
  },

  async 'does not coalesce codes, keys or portals into each other' (trial) {
    const queue = await trial.open()
    const kinds = [{ code: 'ADD' }, { code: 'UPDATE' }, { code: 'DELETE' }, { memberId: 'b' }, { key: 'deal:2' }]
    for (let i = 0; i < 10; i++) await addAll(queue, kinds.map(kind => newEvent({ ...REPEATED, ...kind })))
    trial.work(queue)
    await trial.settled(queue, 5)
    assert.deepEqual(trial.runs.map(({ coalesced }) => coalesced), [10, 10, 10, 10, 10])
  },

  async 'handles repeats that come during a run once more, after it' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => { await latch.opened })
    await queue.add(newEvent(REPEATED))
    await until(() => trial.runs.length === 1, 'the first runs')
    await addAll(queue, newEvents(5, REPEATED))
    assert.equal(trial.runs.length, 1)
    latch.open()
    await trial.settled(queue, 2)
    assert.deepEqual(trial.runs.map(({ attempt, coalesced }) => [attempt, coalesced]), [[1, 1], [1, 5]])
    assert.ok((trial.runs[1] as Seen).beganAt >= (trial.runs[0]?.endedAt as number))
  },

  async 'lets every handler see a repeat that comes while its event waits for its next attempt' (trial) {
    await seesRepeat(trial, failed(), 'held back')
  },

  async 'lets every handler see a repeat that comes while its event is delayed' (trial) {
    await seesRepeat(trial, { status: 'later', delayMs: HELD_MS }, 'held back')
  },

  async 'lets every handler see a repeat that comes during a run that then fails' (trial) {
    await seesRepeat(trial, failed(), 'running')
  },

  async 'lets every handler see a repeat that comes during a run that is then for later' (trial) {
    await seesRepeat(trial, { status: 'later', delayMs: HELD_MS }, 'running')
  },

  async 'handles a repeat of a failed event at once, with reset attempts' (trial) {
    const queue = await trial.open({ backoffMs: HOUR_MS })
    trial.work(queue, async (run) => {
      if (trial.runs.length === 5) return
      await run.save('half')
      return failed()
    })
    for (let tries = 1; tries <= 5; tries++) {
      await queue.add(newEvent(REPEATED))
      await until(() => trial.runs.length === tries, `try ${tries}`)
      if (tries < 5) await trial.counted(queue, { waiting: 1, active: 0, dead: 0 })
    }
    await trial.settled(queue, 5)
    assert.deepEqual(trial.runs.map(({ attempt, coalesced, progress }) => [attempt, coalesced, progress]), [1, 2, 3, 4, 5].map(count => [1, count, undefined]))
    assert.deepEqual(trial.dead, [])
  },

  async 'handles a repeat at once that comes during a run that then fails, with reset attempts' (trial) {
    const queue = await trial.open({ backoffMs: HOUR_MS })
    const latch = newLatch()
    trial.work(queue, async (run) => {
      if (trial.runs.length > 1) return
      await run.save('half')
      await latch.opened
      return failed()
    })
    await queue.add(newEvent(REPEATED))
    await until(() => trial.runs.length === 1, 'the first runs')
    await addAll(queue, newEvents(2, REPEATED))
    latch.open()
    await trial.settled(queue, 2)
    assert.deepEqual(trial.runs.map(({ attempt, coalesced, progress }) => [attempt, coalesced, progress]), [[1, 1, undefined], [1, 3, undefined]])
  },

  async 'resets attempts for a repeat of an event that is waiting again' (trial) {
    const queue = await trial.open({ backoffMs: 1 })
    const [first, other] = [newLatch(), newLatch()]
    trial.work(queue, async ({ event, attempt }) => {
      const isOther = (event as { key?: string }).key === undefined
      await (isOther ? other : first).opened
      if (!isOther && (trial.runs.length === 1 || attempt < 3)) return failed()
    }, 1)
    await queue.add(newEvent(REPEATED))
    await until(() => trial.runs.length === 1, 'the first runs')
    await queue.add(newEvent())
    first.open()
    await until(() => trial.runs.length === 2, 'the other runs')
    await sleep(300)
    await queue.add(newEvent(REPEATED))
    other.open()
    await trial.settled(queue, 5)
    assert.deepEqual(trial.runs.slice(2).map(({ attempt, coalesced }) => [attempt, coalesced]), [[1, 2], [2, 2], [3, 2]])
    assert.deepEqual(trial.dead, [])
  },

  async 'does not end a wait for later because of a repeat' (trial) {
    const queue = await trial.open()
    trial.work(queue, () => trial.runs.length === 1 ? { status: 'later', delayMs: HELD_MS } : undefined)
    await queue.add(newEvent(REPEATED))
    await trial.counted(queue, { waiting: 1, active: 0, dead: 0 })
    await queue.add(newEvent(REPEATED))
    await trial.settled(queue, 2)
    const [first, second] = trial.runs as [Seen, Seen]
    assert.ok(second.beganAt - (first.endedAt as number) >= HELD_MS - 10)
    assert.deepEqual([second.attempt, second.coalesced], [1, 2])
  },

  async 'handles what comes after a dead letter of its key, on its own' (trial) {
    const queue = await trial.open()
    trial.work(queue, ({ event }) => (event as { payload: unknown }).payload === 'bad' ? dead() : undefined)
    const bad = newEvent({ ...REPEATED, payload: 'bad' })
    await queue.add(bad)
    await trial.counted(queue, { waiting: 0, active: 0, dead: 1 })
    await queue.add(newEvent(REPEATED))
    await trial.settled(queue, 2)
    assert.deepEqual(trial.runs.map(({ coalesced }) => coalesced), [1, 1])
    assert.deepEqual((await queue.deadLetters.list()).items.map(({ id }) => id), [bad.id])
  },

  async 'says in a dead letter for how many it stands' (trial) {
    const queue = await trial.open()
    await addAll(queue, newEvents(7, REPEATED))
    trial.work(queue, () => dead())
    await trial.settled(queue, 1)
    await trial.waitForDead(1)
    assert.deepEqual(trial.dead.map(({ coalesced }) => coalesced), [7])
  },

  async 'loses no repeat, whenever it comes' (trial) {
    const queues = [await trial.open({ attempts: 100 }), await trial.open({ attempts: 100 })]
    const latest = new Map<string, number>()
    const seenUpTo = new Map<string, number>()
    const handle = async ({ event }: { event: unknown }) => {
      const { key } = event as { key: string }
      const known = latest.get(key) as number
      await sleep(2)
      if (trial.runs.length % 3 === 0) return failed()
      seenUpTo.set(key, known)
    }
    for (const queue of queues) trial.work(queue, handle)
    for (let i = 0; i < 400; i++) {
      const key = `deal:${i % 4}`
      latest.set(key, i)
      await queues[i % 2]?.add(newEvent({ key, coalesce: true }))
      if (i % 5 === 0) await sleep(1)
    }
    await trial.settled(queues[0]!, 4)
    assert.deepEqual(seenUpTo, latest, 'a run that ended well began after the last repeat had come')
    const done = trial.runs.filter(({ outcome }) => outcome?.status === 'done')
    assert.equal(done.reduce((sum, { coalesced }) => sum + coalesced, 0), 400)
  }
}

/** A repeat comes when its event has kept some progress: some run that begins after it must start from nothing. */
async function seesRepeat (trial: Trial, first: Outcome, when: 'running' | 'held back'): Promise<void> {
  const queue = await trial.open({ backoffMs: HELD_MS })
  const latch = newLatch()
  trial.work(queue, async (run) => {
    if (trial.runs.length > 1) return
    await run.save('half')
    if (when === 'running') await latch.opened
    return first
  })
  await queue.add(newEvent(REPEATED))
  await until(() => trial.runs.length === 1, 'the first runs')
  await trial.counted(queue, when === 'running' ? { waiting: 0, active: 1, dead: 0 } : { waiting: 1, active: 0, dead: 0 })
  const came = performance.now()
  await queue.add(newEvent(REPEATED))
  latch.open()
  await trial.settled(queue, 2)
  const after = trial.runs.filter(({ beganAt }) => beganAt > came)
  assert.ok(after.some(({ progress }) => progress === undefined), JSON.stringify(trial.runs))
  assert.equal(after.reduce((sum, { coalesced }) => sum + coalesced, 0), 2)
}
