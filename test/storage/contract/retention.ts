import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventQueue } from '../../../src/storage/event-queue.ts'
import type { DeadEvent } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, newEvent, newEvents, type Trial } from './trial.ts'

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
    await trial.told(60)
    // An adapter may clear up a little later.
    await until(async () => (await queue.counts()).dead <= 20, 'about ten are left')
    const left = new Set((await lettersOf(queue)).map(({ id }) => id))
    for (const { id } of trial.dead.slice(-10)) assert.ok(left.has(id), 'one of the newest ten is gone')
    assert.ok(left.size <= 20, `${left.size}`)
    const [oldest] = trial.dead
    assert.equal(await queue.deadLetters.get(oldest!.id), undefined)
    assert.equal(await queue.deadLetters.replay(oldest!.id), false)
  },

  async 'keeps dead letters as long as it may' (trial) {
    const queue = await trial.open({ deadLetters: { maxAgeMs: 1_000, maxCount: 1_000, maxBytes: 10_000_000 } })
    trial.work(queue, () => dead())
    const old = newEvent()
    await queue.add(old)
    await trial.told(1)
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
