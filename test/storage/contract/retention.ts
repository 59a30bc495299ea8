import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventQueue } from '../../../src/storage/event-queue.ts'
import type { DeadEvent } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, newEvent, newEvents, newStored, newTurn, type Trial } from './trial.ts'

/** How long dead letters are kept. */
export const RETENTION: Record<string, (trial: Trial) => Promise<void>> = {
  async 'keeps about as many dead letters as it may, the newest' (trial) {
    const queue = await trial.open({ deadLetters: { maxAgeMs: 3_600_000, maxCount: 10, maxBytes: 10_000_000 } })
    trial.work(queue, async () => {
      // Each dies in a millisecond of its own.
      await sleep(2)
      return dead()
    }, 1)
    await addAll(queue, newEvents(60))
    await trial.settled(queue, 60)
    await trial.waitForDead(60)
    // An adapter may clear up a little later.
    await until(async () => (await queue.counts()).dead <= 20, 'about ten are left')
    const left = new Set((await lettersOf(queue)).map(({ id }) => id))
    for (const { id } of trial.dead.slice(-10)) assert.ok(left.has(id), 'one of the newest ten is gone')
    assert.ok(left.size <= 20, `${left.size}`)
    const [oldest] = trial.dead
    assert.equal(await queue.deadLetters.get(oldest!.id), undefined)
    assert.equal(await queue.deadLetters.replay(oldest!.id), false)
  },

  async 'evicts the oldest of the portal whose dead letters take most' (trial) {
    const store = await trial.openStore({ deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000, maxBytes: 20_000 } })
    const body = JSON.stringify('x'.repeat(1_000))
    const kept = ['b', 'c'].map(group => newStored({ group, body }))
    const flood = Array.from({ length: 40 }, (_, i) => newStored({ id: `flood-${i}`, group: 'a', body }))
    let evicted = 0
    for (const event of [kept[0]!, ...flood, kept[1]!]) {
      await store.add([event])
      const { begun } = await store.turn(newTurn({ free: 1 }))
      const result = await store.turn(newTurn({ outcomes: begun.map(({ seq }) => ({ seq, status: 'dead', attempts: 1, error: '{"message":"no"}' })) }))
      assert.deepEqual(result.dead.map(({ id }) => id), [event.id])
      evicted += result.evicted
    }
    const left = (await store.listDead(undefined, 100)).map(({ id }) => id)
    for (const { id } of kept) assert.ok(left.includes(id), 'what another portal has is kept')
    assert.deepEqual(left.filter(id => id.startsWith('flood')), flood.slice(-(left.length - 2)).map(({ id }) => id).reverse(), 'the newest are kept')
    assert.ok(left.length >= 10 && left.length * 1_000 <= 20_000, `${left.length}`)
    assert.equal(evicted, 42 - left.length)
  },

  async 'keeps dead letters as long as it may' (trial) {
    const queue = await trial.open({ deadLetters: { maxAgeMs: 1_000, maxCount: 1_000, maxBytes: 10_000_000 } })
    trial.work(queue, () => dead())
    const old = newEvent()
    await queue.add(old)
    await trial.waitForDead(1)
    assert.equal((await queue.deadLetters.get(old.id))?.id, old.id)
    const event = { ...old, id: 'young' }
    await until(async () => {
      // An adapter may clear up when the next one dies.
      event.id = `young-${trial.dead.length}`
      await queue.add(event)
      await sleep(250)
      return !(await lettersOf(queue)).some(({ id }) => id === old.id)
    }, 'the old one is gone')
    assert.ok((await lettersOf(queue)).some(({ id }) => id === event.id), 'the young one is there')
    assert.equal(await queue.deadLetters.get(old.id), undefined)
  }
}

async function lettersOf (queue: EventQueue): Promise<DeadEvent[]> {
  const { items, cursor } = await queue.deadLetters.list()
  assert.equal(cursor, undefined, 'so few are one page')
  return items
}
