import assert from 'node:assert/strict'
import type { EventQueue } from '../../../src/storage/event-queue.ts'
import type { DeadEvent, DeadEventFilter, DeadLetterStore } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, newEvent, newEvents, newLatch, type Trial } from './trial.ts'

/** What can be done with dead letters. */
export const DEAD_LETTERS: Record<string, (trial: Trial) => Promise<void>> = {
  async 'lists dead letters newest first, over several pages, by portal and by code' (trial) {
    const queue = await trial.open()
    trial.work(queue, () => dead())
    await addAll(queue, Array.from({ length: 130 }, (_, i) => newEvent({ memberId: i % 4 === 0 ? 'b' : 'a', code: i % 3 === 0 ? 'ADD' : 'UPDATE' })))
    await trial.counted(queue, { waiting: 0, active: 0, dead: 130 })
    await trial.waitForDead(130)
    const reported = new Map(trial.dead.map(deadLetter => [deadLetter.id, deadLetter]))
    const filters: Array<{ memberId?: string, code?: string }> = [{}, { memberId: 'b' }, { code: 'ADD' }, { memberId: 'a', code: 'ADD' }, { memberId: 'nobody' }, { code: 'NOTHING' }]
    for (const filter of filters) {
      const letters = await allOf(queue.deadLetters, ({ memberId, code }) => memberId === (filter.memberId ?? memberId) && code === (filter.code ?? code))
      const times = letters.map(({ failedAt }) => failedAt)
      assert.deepEqual(times, times.toSorted((a, b) => b - a), 'newest first')
      assert.deepEqual(letters, letters.map(({ id }) => reported.get(id)), 'as onDead was told')
      const expected = [...reported.values()].filter(({ memberId, code }) => memberId === (filter.memberId ?? memberId) && code === (filter.code ?? code))
      assert.deepEqual(letters.map(({ id }) => id).sort(), expected.map(({ id }) => id).sort(), JSON.stringify(filter))
    }
    assert.deepEqual(await allOf(queue.deadLetters, undefined), await allOf(queue.deadLetters, () => true))
  },

  async 'lists no more than asked for, and leads on to the rest' (trial) {
    const queue = await trial.open()
    trial.work(queue, () => dead())
    await addAll(queue, Array.from({ length: 12 }, (_, i) => newEvent({ code: i % 3 === 0 ? 'ADD' : 'UPDATE' })))
    await trial.counted(queue, { waiting: 0, active: 0, dead: 12 })
    const all = await allOf(queue.deadLetters, undefined)
    for (const filter of [undefined, ({ code }: DeadEvent) => code === 'ADD', ({ code }: DeadEvent) => code === 'UPDATE', () => false]) {
      for (const limit of [1, 3, 5, 12, 100]) {
        const expected = filter === undefined ? all : all.filter(filter)
        assert.deepEqual(await allOf(queue.deadLetters, filter, limit), expected, `${limit} of ${filter}`)
        assert.equal((await queue.deadLetters.list(filter, undefined, limit)).items.length, Math.min(limit, expected.length))
      }
    }
  },

  async 'refuses a cursor that no page gives' (trial) {
    const queue = await trial.open()
    await kill(trial, queue)
    for (const cursor of ['', 'x', 'NaN', '-1', '1e3', '1 ', ' 1', '1.', '.1', '0x1', '9'.repeat(40), 'undefined', '[object Object]']) {
      await assert.rejects(queue.deadLetters.list(undefined, cursor), { code: 'FST_B24_INVALID_CURSOR', statusCode: 400 }, JSON.stringify(cursor))
    }
  },

  async 'shows a dead letter to other queues, and to those opened later' (trial) {
    const queue = await trial.open()
    const other = await trial.open()
    const { id } = await kill(trial, queue)
    const deadLetter = await queue.deadLetters.get(id)
    assert.deepEqual(await other.deadLetters.get(id), deadLetter)
    await Promise.all([queue.close(100), other.close(100)])
    const later = await trial.open()
    assert.deepEqual(await later.deadLetters.list(), { items: [deadLetter] })
    assert.deepEqual(await later.counts(), { waiting: 0, active: 0, dead: 1 })
  },

  async 'does not take events that wait or run for dead letters' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => { await latch.opened }, 1)
    const events = newEvents(2)
    await addAll(queue, events)
    await trial.counted(queue, { waiting: 1, active: 1, dead: 0 })
    for (const { id } of [...events, newEvent(), ...['', 'a:b', '0', '*', '__proto__'].map(id => newEvent({ id }))]) {
      assert.deepEqual(await Promise.all([queue.deadLetters.get(id), queue.deadLetters.replay(id), queue.deadLetters.discard(id)]), [undefined, false, false])
    }
    assert.deepEqual(await queue.deadLetters.list(), { items: [] })
    latch.open()
    await trial.settled(queue, 2)
    assert.deepEqual(trial.ids, events.map(({ id }) => id))
  },

  async 'replays a dead letter with its progress and reset attempts' (trial) {
    const queue = await trial.open({ attempts: 2 })
    trial.work(queue, async (run) => {
      await run.save('half')
      if (trial.runs.length < 4) throw new Error('not yet')
    })
    const event = newEvent({ key: 'deal:1', coalesce: true, payload: { x: 1 } })
    await queue.add(event)
    await trial.counted(queue, { waiting: 0, active: 0, dead: 1 })
    assert.equal(await queue.deadLetters.replay(event.id), true)
    await trial.settled(queue, 4)
    assert.deepEqual(trial.runs.map(({ event, attempt, coalesced, progress }) => [event, attempt, coalesced, progress]), [
      [event, 1, 1, undefined], [event, 2, 1, 'half'], [event, 1, 1, 'half'], [event, 2, 1, 'half']
    ])
    assert.equal(await queue.deadLetters.replay(event.id), false)
    assert.equal(await queue.deadLetters.get(event.id), undefined)
    assert.deepEqual([await queue.deadLetters.list(), await queue.counts()], [{ items: [] }, { waiting: 0, active: 0, dead: 0 }])
  },

  async 'puts a dead letter back with the progress of all that it stands for, as often as it dies' (trial) {
    const queue = await trial.open()
    const event = newEvent({ key: 'deal:1', coalesce: true })
    await addAll(queue, [event, newEvent({ key: 'deal:1', coalesce: true })])
    trial.work(queue, async (run) => {
      if (trial.runs.length === 1) await run.save('half')
      return trial.runs.length < 4 ? dead() : undefined
    })
    await trial.counted(queue, { waiting: 0, active: 0, dead: 1 })
    const [deadLetter] = (await queue.deadLetters.list()).items
    const id = deadLetter!.id
    for (const runs of [2, 3]) {
      assert.equal(await queue.deadLetters.replay(id), true)
      await until(() => trial.runs.length === runs, 'it is tried anew')
      await trial.counted(queue, { waiting: 0, active: 0, dead: 1 })
    }
    assert.equal(await queue.deadLetters.replay(id), true)
    await trial.settled(queue, 4)
    assert.deepEqual(trial.runs.map(({ coalesced, progress }) => [coalesced, progress]), [[2, undefined], [2, 'half'], [2, 'half'], [2, 'half']])
  },

  async 'puts a dead letter back without a progress that a repeat undid' (trial) {
    const queue = await trial.open({ attempts: 2, backoffMs: 1_000 })
    const event = newEvent({ key: 'deal:1', coalesce: true })
    trial.work(queue, async (run) => {
      if (trial.runs.length === 1) await run.save('half')
      if (trial.runs.length < 4) throw new Error('not yet')
    })
    await queue.add(event)
    await until(() => trial.runs.length === 1, 'it is tried')
    await trial.counted(queue, { waiting: 1, active: 0, dead: 0 })
    await queue.add(newEvent({ key: 'deal:1', coalesce: true }))
    await trial.counted(queue, { waiting: 0, active: 0, dead: 1 })
    const [deadLetter] = (await queue.deadLetters.list()).items
    assert.equal(await queue.deadLetters.replay(deadLetter!.id), true)
    await trial.settled(queue, 4)
    assert.deepEqual(trial.runs.map(({ coalesced, progress }) => [coalesced, progress]), [[1, undefined], [2, undefined], [2, undefined], [2, undefined]])
  },

  async 'keeps what dies again after it was put back' (trial) {
    const queue = await trial.open()
    const event = await kill(trial, queue)
    const first = await queue.deadLetters.get(event.id) as DeadEvent
    assert.equal(await queue.deadLetters.replay(event.id), true)
    await trial.settled(queue, 2)
    const second = await queue.deadLetters.get(event.id) as DeadEvent
    assert.deepEqual(second, { ...first, failedAt: second.failedAt })
    assert.ok(second.failedAt >= first.failedAt)
    assert.deepEqual(await queue.deadLetters.list(), { items: [second] })
  },

  async 'puts a dead letter back once, however many ask for it at once' (trial) {
    const queues = [await trial.open(), await trial.open()]
    const { id } = await kill(trial, queues[0]!)
    trial.work(queues[1]!)
    const answers = await Promise.all(Array.from({ length: 10 }, async (_, i) => await queues[i % 2]?.deadLetters.replay(id)))
    assert.equal(answers.filter(Boolean).length, 1, answers.join())
    await trial.settled(queues[0]!, 2)
    assert.equal(trial.runs.length, 2)
  },

  async 'puts a dead letter back when no queue works, for one that does later' (trial) {
    const queue = await trial.open()
    const { id } = await kill(trial, queue)
    await queue.close(1_000)
    const other = await trial.open()
    assert.equal(await other.deadLetters.replay(id), true)
    assert.deepEqual(await other.counts(), { waiting: 1, active: 0, dead: 0 })
    trial.work(other)
    await trial.settled(other, 2)
    assert.deepEqual(trial.runs.map(({ event, attempt }) => [event.id, attempt]), [[id, 1], [id, 1]])
  },

  async 'handles a dead letter that was put back only when no other event of its key runs' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async () => {
      if (trial.runs.length === 1) return dead()
      await latch.opened
    })
    const event = newEvent({ key: 'deal:1', coalesce: true })
    await queue.add(event)
    await trial.counted(queue, { waiting: 0, active: 0, dead: 1 })
    await queue.add(newEvent({ key: 'deal:1', coalesce: true }))
    await trial.counted(queue, { waiting: 0, active: 1, dead: 1 })
    assert.equal(await queue.deadLetters.replay(event.id), true)
    await trial.counted(queue, { waiting: 1, active: 1, dead: 0 })
    latch.open()
    await trial.settled(queue, 3)
    assert.equal(trial.ids.filter(id => id === event.id).length, 2)
  },

  async 'deletes a dead letter' (trial) {
    const queue = await trial.open()
    const { id } = await kill(trial, queue)
    const kept = await kill(trial, await trial.open())
    assert.equal(await queue.deadLetters.discard(id), true)
    assert.deepEqual(await Promise.all([queue.deadLetters.discard(id), queue.deadLetters.replay(id), queue.deadLetters.get(id)]), [false, false, undefined])
    assert.deepEqual((await queue.deadLetters.list()).items.map(({ id }) => id), [kept.id])
    assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, dead: 1 })
  }
}

/** Makes a dead letter, by a queue that then kills all it gets. */
async function kill (trial: Trial, queue: EventQueue) {
  const already = trial.dead.length
  trial.work(queue, () => dead())
  const event = newEvent()
  await queue.add(event)
  await trial.counted(queue, { waiting: 0, active: 0, dead: already + 1 })
  await trial.waitForDead(already + 1)
  return event
}

async function allOf (box: DeadLetterStore, filter: DeadEventFilter | undefined, limit = 100): Promise<DeadEvent[]> {
  const letters: DeadEvent[] = []
  let cursor: string | undefined
  let pages = 0
  do {
    const page = await box.list(filter, cursor, limit)
    assert.ok(page.items.length <= limit)
    letters.push(...page.items)
    cursor = page.cursor
    assert.ok(++pages <= 200, 'the pages come to an end')
  } while (cursor !== undefined)
  return letters
}
