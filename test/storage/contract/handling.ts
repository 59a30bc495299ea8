import assert from 'node:assert/strict'
import { until } from '../../helpers/until.ts'
import { addAll, dead, failed, newEvent, newEvents, newLatch, type Trial } from './trial.ts'

/** Taking in, handing out, counting. */
export const HANDLING: Record<string, (trial: Trial) => Promise<void>> = {
  async 'hands an event to the process as it was added, as attempt 1 that stands for itself' (trial) {
    const queue = await trial.open()
    trial.work(queue)
    const event = newEvent({ memberId: 'a', code: 'ONIMBOTV2MESSAGEADD', key: 'message:1', payload: { data: [1, null, { x: '' }], auth: 'encrypted' } })
    await queue.add(event)
    await trial.settled(queue, 1)
    const [run] = trial.runs
    assert.deepEqual([run?.event, run?.attempt, run?.coalesced, run?.progress], [event, 1, 1, undefined])
    assert.equal(trial.runs.length, 1)
  },

  async 'handles what was added before it works' (trial) {
    const queue = await trial.open()
    const events = newEvents(20)
    await addAll(queue, events)
    assert.deepEqual([await queue.counts(), trial.runs], [{ waiting: 20, active: 0, dead: 0 }, []])
    trial.work(queue)
    await trial.settled(queue, 20)
    assert.deepEqual(trial.ids.sort(), events.map(({ id }) => id).sort())
  },

  async 'handles what another queue on the same storage adds' (trial) {
    const [from, to] = [await trial.open(), await trial.open()]
    trial.work(to)
    const events = newEvents(10)
    await addAll(from, events)
    await trial.settled(from, 10)
    assert.deepEqual(trial.ids.sort(), events.map(({ id }) => id).sort())
  },

  async 'keeps what waits when it is closed and opened again' (trial) {
    const events = [...newEvents(5), newEvent({ key: 'deal:1' }), newEvent({ isPriority: true })]
    const before = await trial.open()
    await addAll(before, events)
    await before.close(100)
    const after = await trial.open()
    assert.deepEqual(await after.counts(), { waiting: 7, active: 0, dead: 0 })
    trial.work(after)
    await trial.settled(after, 7)
    const byId = new Map(trial.runs.map(({ event }) => [event.id, event]))
    for (const event of events) assert.deepEqual(byId.get(event.id), event)
  },

  async 'handles each of hundreds of events that several queues add at once exactly once' (trial) {
    const queues = [await trial.open(), await trial.open(), await trial.open()]
    for (const queue of queues.slice(1)) trial.work(queue)
    const events = Array.from({ length: 600 }, (_, i) => newEvent({
      memberId: `portal-${i % 20}`,
      isPriority: i % 50 === 0,
      ...i % 3 === 0 ? {} : { key: `deal:${i % 7}`, coalesce: false }
    }))
    await Promise.all(events.map(async (event, i) => await queues[i % 3]?.add(event)))
    await trial.settled(queues[0]!, 600)
    assert.deepEqual(trial.ids.sort(), events.map(({ id }) => id).sort())
    assert.ok(trial.runs.every(({ attempt }) => attempt === 1))
  },

  async 'keeps Unicode, deep JSON, 200 kB and long ids as they were' (trial) {
    const queue = await trial.open()
    const deep = Array.from({ length: 60 }).reduce((inner, _, i) => i % 2 === 0 ? [inner] : { inner }, 'ground')
    const events = ['ид 🏢 "quoted"\n\u2028', 'with:colons:and/slashes', '__proto__', 'x'.repeat(200)].map(id => newEvent({ id }))
    for (const payload of [deep, 'é🏢\u0000'.repeat(30_000), { 'ключ с пробелом': '\u2028', empty: {}, list: [] }, null, 0, '']) {
      events.push(newEvent({ payload, key: 'сделка:🏢', code: 'ONКОД' }))
    }
    await addAll(queue, events)
    trial.work(queue)
    await trial.settled(queue, events.length)
    const byId = new Map(trial.runs.map(({ event }) => [event.id, event]))
    for (const event of events) assert.deepEqual(byId.get(event.id), event)
  },

  async 'counts waiting, active and dead events' (trial) {
    const queue = await trial.open({ backoffMs: 60_000 })
    const latch = newLatch()
    trial.work(queue, async ({ event }) => {
      const { code, payload } = event as { code: string, payload: unknown }
      if (code === 'DIE') return dead()
      if (payload === 'later') return { status: 'later', delayMs: 60_000 }
      if (payload === 'fail') return failed()
      await latch.opened
    }, 2)
    await addAll(queue, [...newEvents(3, { code: 'DIE' }), newEvent({ payload: 'later' }), newEvent({ payload: 'fail' })])
    await until(() => trial.runs.length === 5, 'all have been tried')
    await addAll(queue, newEvents(9))
    await trial.counted(queue, { waiting: 9, active: 2, dead: 3 })
    assert.deepEqual(await (await trial.open()).counts(), await queue.counts(), 'another queue counts the same')
    latch.open()
    await trial.counted(queue, { waiting: 2, active: 0, dead: 3 })
  },

  async 'knows when the oldest event came that waits for its turn' (trial) {
    const queue = await trial.open()
    assert.equal(await queue.oldestWaitingAt(), undefined)
    await queue.add(newEvent({ memberId: 'portal-b', receivedAt: 1_000 }))
    await queue.add(newEvent({ receivedAt: 2_000 }))
    await queue.add(newEvent({ receivedAt: 3_000, isPriority: true, code: 'ONAPPINSTALL' }))
    assert.equal(await queue.oldestWaitingAt(), 1_000)
    const latch = newLatch()
    trial.work(queue, async ({ event }) => { if ((event as { receivedAt: number }).receivedAt < 3_000) await latch.opened }, 2)
    await trial.counted(queue, { waiting: 0, active: 2, dead: 0 })
    assert.equal(await queue.oldestWaitingAt(), undefined, 'what runs does not wait')
    await queue.add(newEvent({ receivedAt: 4_000 }))
    assert.equal(await queue.oldestWaitingAt(), 4_000)
    latch.open()
    await trial.settled(queue, 4)
  },

  async 'does not show the events of one app to another' (trial) {
    const queue = await trial.open()
    const other = await trial.open({}, `${trial.app}0`)
    trial.work(other)
    await queue.add(newEvent())
    await other.add(newEvent({ id: 'other' }))
    await trial.settled(other, 1)
    assert.deepEqual(trial.ids, ['other'])
    assert.deepEqual(await queue.counts(), { waiting: 1, active: 0, dead: 0 })
  },

  async 'does not abort the signal of a run that ends by itself' (trial) {
    const queue = await trial.open()
    const signals: AbortSignal[] = []
    trial.work(queue, ({ signal }) => { signals.push(signal) })
    await addAll(queue, newEvents(5))
    await trial.settled(queue, 5)
    await queue.close(1_000)
    assert.deepEqual(signals.map(({ aborted }) => aborted), [false, false, false, false, false])
  }
}
