import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Run } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, failed, newEvent, newEvents, newLatch, type Trial } from './trial.ts'

const CLOSED = { code: 'FST_B24_CLOSING' }

/** How a queue ends. */
export const CLOSING: Record<string, (trial: Trial) => Promise<void>> = {
  async 'waits for what runs when it closes, and does not hand it out again' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    const signals: AbortSignal[] = []
    trial.work(queue, async (run) => {
      signals.push(run.signal)
      await latch.opened
      await run.save('still possible')
    })
    await queue.add(newEvent({ key: 'deal:1' }))
    await until(() => trial.runs.length === 1, 'it runs')
    const closing = queue.close(10_000)
    latch.open()
    await closing
    assert.equal(signals[0]?.aborted, false)
    const again = await trial.open()
    assert.deepEqual(await again.counts(), { waiting: 0, active: 0, dead: 0 })
  },

  async 'aborts what runs too long when it closes, and gives it back without counting it' (trial) {
    const before = await trial.open()
    const reasons: unknown[] = []
    trial.work(before, async (run) => {
      if (run.attempt === 1) return failed()
      await run.save({ step: 2 })
      return await untilAborted(run).catch((reason) => {
        reasons.push(reason)
        throw reason
      })
    })
    const event = newEvent({ key: 'deal:1', coalesce: true })
    await before.add(event)
    await until(() => trial.runs.length === 2, 'the second attempt runs')
    const began = performance.now()
    await before.close(100)
    assert.ok(performance.now() - began >= 99, 'after the time it has')
    assert.ok(performance.now() - began < 5_000, 'and soon')
    await until(() => reasons.length === 1, 'it is aborted')
    assert.equal((reasons[0] as typeof CLOSED).code, CLOSED.code)
    const after = await trial.open()
    assert.deepEqual(await after.counts(), { waiting: 1, active: 0, dead: 0 })
    trial.work(after)
    await trial.settled(after, 3)
    assert.deepEqual(trial.runs.map(({ attempt, progress }) => [attempt, progress]), [[1, undefined], [2, undefined], [2, { step: 2 }]])
    assert.deepEqual(trial.runs[2]?.event, event)
  },

  async 'gives back a first attempt as a first attempt, more than once' (trial) {
    await (await trial.open()).add(newEvent({ isPriority: true }))
    for (let round = 1; round <= 4; round++) {
      const queue = await trial.open({ attempts: 2 })
      trial.work(queue, async (run) => { if (round < 4) await untilAborted(run) })
      await until(() => trial.runs.length === round, 'it runs')
      await queue.close(round < 4 ? 0 : 5_000)
    }
    assert.deepEqual(trial.runs.map(({ attempt }) => attempt), [1, 1, 1, 1])
    assert.deepEqual(await (await trial.open()).counts(), { waiting: 0, active: 0, dead: 0 })
  },

  async 'does not wait for a run that takes no notice, whatever it answers in the end' (trial) {
    const before = await trial.open()
    const latch = newLatch()
    trial.work(before, async () => {
      await latch.opened
      return failed()
    })
    const event = newEvent({ key: 'deal:1', coalesce: true })
    await before.add(event)
    await until(() => trial.runs.length === 1, 'it runs')
    await before.close(50)
    const after = await trial.open()
    latch.open()
    await until(() => trial.runs[0]?.outcome !== undefined, 'the old run has ended')
    assert.deepEqual(await after.counts(), { waiting: 1, active: 0, dead: 0 })
    trial.work(after)
    await trial.settled(after, 2)
    assert.deepEqual(trial.runs.map(({ event: { id }, attempt }) => [id, attempt]), [[event.id, 1], [event.id, 1]])
  },

  async 'leaves to other queues what it gives back' (trial) {
    const [one, two] = [await trial.open(), await trial.open()]
    trial.work(one, untilAborted, 2)
    const events = newEvents(2)
    await addAll(one, events)
    await until(() => trial.runs.length === 2, 'both run')
    trial.work(two)
    await one.close(0)
    await trial.settled(two, 4)
    assert.deepEqual(trial.runs.slice(2).map(({ event: { id }, attempt }) => `${id} ${attempt}`).sort(), events.map(({ id }) => `${id} 1`).sort())
  },

  async 'begins nothing once it closes' (trial) {
    const queue = await trial.open()
    await addAll(queue, Array.from({ length: 200 }, (_, i) => newEvent(i % 4 === 0 ? {} : { key: `deal:${i}` })))
    const begun = 20
    let closing: Promise<void> | undefined
    trial.work(queue, async () => {
      if (trial.runs.length === begun) closing = queue.close(5_000)
      await sleep(2)
    }, 8)
    await until(() => closing !== undefined, 'it closes')
    await closing
    assert.equal(trial.runs.length, begun)
    const again = await trial.open()
    assert.deepEqual(await again.counts(), { waiting: 200 - begun, active: 0, dead: 0 })
    trial.work(again)
    await trial.settled(again, 200)
    assert.equal(new Set(trial.ids).size, 200)
    assert.equal(trial.ids.length, 200)
  },

  async 'takes nothing in once it closes' (trial) {
    for (const works of [true, false]) {
      const queue = await trial.open()
      if (works) trial.work(queue)
      const closing = queue.close(100)
      await assert.rejects(queue.add(newEvent()), CLOSED)
      await closing
      await assert.rejects(queue.add(newEvent({ key: 'deal:1', coalesce: true })), CLOSED)
    }
    assert.deepEqual(await (await trial.open()).counts(), { waiting: 0, active: 0, dead: 0 })
  },

  async 'keeps what it was adding when it closed, or says that it did not' (trial) {
    const queue = await trial.open()
    trial.work(queue)
    const events = newEvents(50)
    const adds = Promise.allSettled(events.map(event => queue.add(event)))
    await queue.close(1_000)
    const stored = (await adds).flatMap(({ status }, i) => status === 'fulfilled' ? [events[i]!.id] : [])
    const again = await trial.open()
    trial.work(again)
    await trial.settled(again, stored.length)
    assert.deepEqual(stored.filter(id => !trial.ids.includes(id)), [])
    assert.equal(new Set(trial.ids).size, trial.ids.length)
  },

  async 'stops to work, and is open to all else until it closes' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async (run) => {
      if (trial.runs.length === 1) return dead()
      await latch.opened
      await run.save('still possible')
    }, 1)
    const events = newEvents(3)
    await addAll(queue, events)
    await until(() => trial.runs.length === 2, 'the second one runs')
    const stopping = queue.stopWorking(10_000)
    const late = newEvent({ key: 'deal:1', coalesce: true })
    await queue.add(late)
    latch.open()
    await stopping
    assert.equal(trial.runs[1]?.endedAt !== undefined, true, 'what ran has ended')
    await addAll(queue, [newEvent({ key: 'deal:1', coalesce: true }), newEvent({ isPriority: true })])
    assert.equal(await queue.deadLetters.replay(events[0]!.id), true)
    await Promise.all([queue.stopWorking(0), queue.stopWorking(10_000)])
    await sleep(300)
    assert.equal(trial.runs.length, 2, 'and nothing has begun')
    assert.deepEqual(await queue.counts(), { waiting: 4, active: 0, dead: 0 })
    await queue.close(0)
    await assert.rejects(queue.add(newEvent()), CLOSED)
    const other = await trial.open()
    trial.work(other)
    await trial.settled(other, 6)
    assert.equal(trial.runs.find(({ event }) => event.key === 'deal:1')?.coalesced, 2)
  },

  async 'aborts what runs too long when it stops to work, and leaves it to others' (trial) {
    const [one, two] = [await trial.open(), await trial.open()]
    trial.work(one, untilAborted)
    const event = newEvent({ key: 'deal:1' })
    await one.add(event)
    await until(() => trial.runs.length === 1, 'it runs')
    trial.work(two)
    await one.stopWorking(50)
    await trial.settled(two, 2)
    assert.deepEqual(trial.runs.map(({ event: { id }, attempt }) => [id, attempt]), [[event.id, 1], [event.id, 1]])
    await one.add(newEvent())
    await trial.settled(two, 3)
  },

  async 'closes without ever having worked, at once, and twice' (trial) {
    const queue = await trial.open()
    await queue.add(newEvent())
    const began = performance.now()
    await Promise.all([queue.close(60_000), queue.close(60_000)])
    await queue.close(60_000)
    assert.ok(performance.now() - began < 5_000)
    assert.deepEqual(await (await trial.open()).counts(), { waiting: 1, active: 0, dead: 0 })
  },

  async 'closes at once when nothing runs' (trial) {
    const queue = await trial.open()
    trial.work(queue)
    await queue.add(newEvent())
    await trial.settled(queue, 1)
    const began = performance.now()
    await queue.close(60_000)
    await queue.close(60_000)
    assert.ok(performance.now() - began < 5_000)
  }
}

/** Goes on until the run is aborted, and ends by that. */
async function untilAborted ({ signal }: Run): Promise<never> {
  if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
  throw signal.reason
}
