import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { QueuedEvent } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, failed, newEvent, newEvents, newLatch, newStored, newTurn, type Trial } from './trial.ts'

const CODES = ['ONCRMDEALADD', 'ONCRMDEALUPDATE', 'ONCRMDEALDELETE']

/** One key at a time, different ones side by side. The trial itself detects an item that is handled twice at once. */
export const KEYS: Record<string, (trial: Trial) => Promise<void>> = {
  async 'handles one key at a time, whatever the codes, in two queues at once' (trial) {
    const queues = [await trial.open(), await trial.open()]
    for (const queue of queues) trial.work(queue, async () => { await sleep(2) })
    const events = Array.from({ length: 60 }, (_, i) => newEvent({ key: 'deal:1', code: CODES[i % 3] as string }))
    await Promise.all(events.map(async (event, i) => await queues[i % 2]?.add(event)))
    await trial.settled(queues[0]!, 60)
    assert.deepEqual(trial.ids.sort(), events.map(({ id }) => id).sort())
  },

  async 'handles the events of one key in order of arrival' (trial) {
    const queues = [await trial.open(), await trial.open()]
    for (const queue of queues) trial.work(queue, async () => { await sleep(Math.random() * 4) })
    const events = Array.from({ length: 60 }, (_, i) => newEvent({ key: `dialog:${i % 3}`, code: CODES[i % 2] as string, ...(i % 5 === 0 && { group: `? ${i % 2}` }) }))
    await addAll(queues[0]!, events)
    await trial.settled(queues[0]!, 60)
    for (const key of ['dialog:0', 'dialog:1', 'dialog:2']) {
      const idsOf = (all: Array<{ id: string, key?: string }>) => all.filter(event => event.key === key).map(({ id }) => id)
      assert.deepEqual(idsOf(trial.runs.map(({ event }) => event)), idsOf(events))
    }
  },

  async 'starts a later event with a key after an earlier one, though its group has the next turn' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn({ responsive: ['a', 'b', 'c', 'd'] }))
    await store.add([newStored({ group: 'a', key: 'k', body: '1' }), newStored({ group: 'b', key: 'k', body: '2' })])
    const { begun: [first] } = await store.turn(newTurn({ free: 9 }))
    await store.add([newStored({ group: 'c', key: 'k', body: '3' })])
    await store.turn(newTurn({ outcomes: [{ seq: first!.seq, status: 'wait', delayMs: 0, attempts: 0, isRetry: false }] }))
    const { begun: [again] } = await store.turn(newTurn({ free: 9 }))
    assert.equal(again!.body, '1')
    await store.turn(newTurn({ outcomes: [{ seq: again!.seq, status: 'done' }] }))
    const { begun } = await store.turn(newTurn({ free: 9 }))
    assert.deepEqual(begun.map(({ body }) => body), ['2'])
    await store.turn(newTurn({ outcomes: [{ seq: begun[0]!.seq, status: 'done' }] }))
    assert.deepEqual((await store.turn(newTurn({ free: 9 }))).begun.map(({ body }) => body), ['3'])
  },

  async 'keeps a repeat at the place of the event that it became one with' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => { await latch.opened })
    const [a, b, c] = [0, 1, 2].map(i => newEvent({ key: 'deal:1', code: CODES[i] as string, coalesce: true })) as [QueuedEvent, QueuedEvent, QueuedEvent]
    await queue.add(a)
    await until(() => trial.runs.length === 1, 'the first runs')
    await addAll(queue, [b, c, { ...b, id: 'again' }])
    latch.open()
    await trial.settled(queue, 3)
    assert.deepEqual(trial.ids, [a.id, 'again', c.id])
  },

  async 'handles one key at a time while its events fail, are for later and come again' (trial) {
    const queues = [await trial.open(), await trial.open()]
    const handle = async ({ attempt, event }: { attempt: number, event: unknown }) => {
      await sleep(3)
      const { code } = event as { code: string }
      if (code === CODES[1] && attempt < 3) return failed()
      if (code === CODES[2] && trial.runs.length % 2 === 0) return { status: 'later', delayMs: 5 } as const
    }
    for (const queue of queues) trial.work(queue, handle)
    const events = Array.from({ length: 36 }, (_, i) => newEvent({ key: `deal:${i % 2}`, code: CODES[i % 3] as string, coalesce: i % 4 === 0 }))
    for (const [i, event] of events.entries()) {
      await queues[i % 2]?.add(event)
      await sleep(2)
    }
    await trial.settled(queues[0]!, 36)
    const done = trial.runs.filter(({ outcome }) => outcome?.status === 'done')
    assert.equal(done.reduce((sum, { coalesced }) => sum + coalesced, 0), 36)
    assert.deepEqual(trial.dead, [])
  },

  async 'handles one key at a time when its events come again at once, in whichever queue' (trial) {
    const queues = await Promise.all([trial.open(), trial.open(), trial.open()])
    const again = new Map<string, number>()
    for (const queue of queues) {
      trial.work(queue, async (_, { event: { id } }) => {
        const times = (again.get(id) ?? 0) + 1
        again.set(id, times)
        await sleep(1)
        if (times < 20) return { status: 'later', delayMs: 0 }
      })
    }
    const events = Array.from({ length: 9 }, (_, i) => newEvent({ key: `deal:${i % 3}` }))
    await addAll(queues[0]!, events)
    await trial.settled(queues[0]!, 180)
    assert.equal(trial.runs.length, 180)
  },

  async 'handles different keys of one portal side by side, up to concurrency' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => {
      if (trial.runs.length === 4) latch.open()
      await latch.opened
      await sleep(2)
    }, 4)
    await addAll(queue, Array.from({ length: 30 }, (_, i) => newEvent({ key: `deal:${i}` })))
    await trial.settled(queue, 30)
    assert.equal(trial.runs.length, 30)
  },

  async 'handles events without a key side by side' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => {
      if (trial.runs.length === 8) latch.open()
      await latch.opened
    }, 8)
    await addAll(queue, newEvents(8))
    await trial.settled(queue, 8)
  },

  async 'handles the same key of two portals side by side' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => {
      if (trial.runs.length === 2) latch.open()
      await latch.opened
    })
    for (const memberId of ['a', 'b']) await queue.add(newEvent({ memberId, key: 'deal:1', coalesce: true }))
    await trial.settled(queue, 2)
    assert.deepEqual(trial.runs.map(({ event }) => event.memberId).sort(), ['a', 'b'])
  },

  async 'does not let one busy key hold up the others of its portal' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    const isBusy = (key: unknown) => key === 'deal:busy'
    trial.work(queue, async ({ event }) => { if (isBusy((event as { key: string }).key)) await latch.opened }, 2)
    await addAll(queue, newEvents(30, { key: 'deal:busy' }))
    await addAll(queue, Array.from({ length: 10 }, (_, i) => newEvent({ key: `deal:${i}` })))
    await trial.counted(queue, { waiting: 29, active: 1, dead: 0 })
    assert.equal(trial.runs.filter(({ event }) => !isBusy(event.key)).length, 10)
    latch.open()
    await trial.settled(queue, 40)
    assert.equal(trial.runs.length, 40)
  },

  async 'does not mix up portals, keys and codes that look alike when they are put together' (trial) {
    const queue = await trial.open()
    const events = [':', '/', '|', '.', '-', ' ', '\n', ',', '"', '{', '}', '*', '%', '\\', '\u0000', '\u001f'].flatMap((between, i) => [
      [`p${i}`, `b${between}c`, 'X'], [`p${i}${between}b`, 'c', 'X'], [`p${i}`, 'b', `C${between}X`], [`p${i}`, 'b', 'X'], [`p${i}`, `b${between}`, 'X']
    ]).concat([['__proto__', 'constructor', 'X'], ['constructor', '__proto__', 'X'], ['P', 'x'.repeat(3_000), 'X'], ['P', `${'x'.repeat(2_999)}y`, 'X']])
      // A portal that was never seen to respond has one place: each key takes turns of its own, but for names that are odd themselves.
      .map(([memberId, key, code]) => newEvent({ memberId: memberId!, key: key!, code: code!, coalesce: true, ...(memberId !== '__proto__' && { group: JSON.stringify([memberId, key]) }) }))
    const keys = new Set(events.map(({ memberId, key }) => JSON.stringify([memberId, key])))
    const latch = newLatch()
    await addAll(queue, [...events, ...events.map(event => ({ ...event, id: `${event.id}-again` }))])
    trial.work(queue, async () => {
      if (trial.runs.length === keys.size) latch.open()
      await latch.opened
    }, 2 * keys.size)
    await trial.settled(queue, events.length)
    assert.deepEqual(trial.runs.map(({ coalesced }) => coalesced), events.map(() => 2))
  }
}
