import assert from 'node:assert/strict'
import type { Outcome } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, failed, newEvent, newEvents, newLatch, type Trial } from './trial.ts'

/** What becomes of a run, and when it comes again. */
export const ATTEMPTS: Record<string, (trial: Trial) => Promise<void>> = {
  async 'tries a failed event again, with growing attempt and what it saved' (trial) {
    const queue = await trial.open({ attempts: 4 })
    trial.work(queue, async (run) => {
      await run.save({ overwritten: true })
      await run.save({ done: ['onDeal', run.attempt] })
      if (run.attempt < 4) return failed()
    })
    const event = newEvent({ key: 'deal:1' })
    await queue.add(event)
    await trial.settled(queue, 4)
    assert.deepEqual(trial.runs.map(({ event, attempt, coalesced, progress }) => [event, attempt, coalesced, progress]), [
      [event, 1, 1, undefined],
      [event, 2, 1, { done: ['onDeal', 1] }],
      [event, 3, 1, { done: ['onDeal', 2] }],
      [event, 4, 1, { done: ['onDeal', 3] }]
    ])
    assert.deepEqual(trial.dead, [])
  },

  async 'makes a dead letter of an event after its last attempt, then calls onDead' (trial) {
    const queue = await trial.open({ attempts: 3 })
    const began = Date.now()
    trial.work(queue, ({ attempt }) => ({ status: 'failed', error: Object.assign(new Error(`no luck ${attempt}`), { code: 'E_LUCK' }) }))
    const event = newEvent({ memberId: 'a', receivedAt: 1_790_000_000_123, payload: { x: [1] } })
    await queue.add(event)
    await trial.settled(queue, 3)
    assert.equal(trial.runs.length, 3)
    const deadLetter = await queue.deadLetters.get(event.id)
    assert.ok(deadLetter)
    const { failedAt, ...rest } = deadLetter
    assert.ok(failedAt >= began && failedAt <= Date.now(), `${failedAt}`)
    const { id, memberId, code, receivedAt } = event
    assert.deepEqual(rest, { id, memberId, code, receivedAt, attempts: 3, coalesced: 1, error: { message: 'no luck 3', code: 'E_LUCK' }, event })
    await trial.waitForDead(1)
    assert.deepEqual(trial.dead, [deadLetter])
    assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, dead: 1 })
  },

  async 'stores a dead letter before it calls onDead' (trial) {
    const queue = await trial.open()
    const found: unknown[] = []
    queue.work(async () => dead(), {
      concurrency: 2,
      onDead: ({ id }) => { queue.deadLetters.get(id).then(deadLetter => found.push(deadLetter?.id), error => found.push(error)) }
    })
    const events = newEvents(4)
    await addAll(queue, events)
    await until(() => found.length === 4, 'all are reported')
    assert.deepEqual(found.sort(), events.map(({ id }) => id).sort())
  },

  async 'takes a rejection for a failure' (trial) {
    const queue = await trial.open({ attempts: 2 })
    trial.work(queue, async (run) => {
      await run.save('so far')
      throw new Error('thrown')
    })
    const event = newEvent()
    await queue.add(event)
    await trial.settled(queue, 2)
    assert.deepEqual(trial.runs.map(({ attempt, progress }) => [attempt, progress]), [[1, undefined], [2, 'so far']])
    assert.deepEqual((await queue.deadLetters.get(event.id))?.error, { message: 'thrown' })
  },

  async 'makes a dead letter of a hopeless event at once' (trial) {
    const queue = await trial.open({ attempts: 5 })
    trial.work(queue, () => dead('no handler'))
    await queue.add(newEvent())
    await trial.settled(queue, 1)
    await trial.waitForDead(1)
    assert.equal(trial.runs.length, 1)
    assert.deepEqual(trial.dead.map(({ attempts, error }) => [attempts, error]), [[1, { message: 'no handler' }]])
  },

  async 'waits longer before each attempt' (trial) {
    const queue = await trial.open({ attempts: 4, backoffMs: 60 })
    trial.work(queue, () => failed())
    await queue.add(newEvent())
    await trial.settled(queue, 4)
    const waits = trial.runs.slice(1).map(({ beganAt }, i) => beganAt - (trial.runs[i]?.endedAt as number))
    // Spread by half: at least half of 60, 120, 240. A clock that ticks in whole milliseconds may lose one.
    for (const [i, least] of [29, 59, 119].entries()) assert.ok(waits[i]! >= least && waits[i]! < 5_000, `${waits.join(', ')}`)
  },

  async 'brings an event that is for later again after its delay, not counted as an attempt, with its progress' (trial) {
    const queue = await trial.open({ attempts: 2 })
    const answers: Outcome[] = [...Array.from({ length: 3 }, () => ({ status: 'later', delayMs: 80 } as const)), failed(), { status: 'done' }]
    trial.work(queue, async (run) => {
      await run.save(trial.runs.length)
      return answers[trial.runs.length - 1]
    })
    await queue.add(newEvent({ key: 'deal:1', coalesce: true }))
    await trial.settled(queue, 5)
    assert.deepEqual(trial.runs.map(({ attempt, coalesced, progress }) => [attempt, coalesced, progress]), [[1, 1, undefined], [1, 1, 1], [1, 1, 2], [1, 1, 3], [2, 1, 4]])
    const waits = trial.runs.slice(1, 4).map(({ beganAt }, i) => beganAt - (trial.runs[i]?.endedAt as number))
    for (const wait of waits) assert.ok(wait >= 79 && wait < 5_000, `${waits.join(', ')}`)
    assert.deepEqual(trial.dead, [])
  },

  async 'keeps attempts and progress of a delayed event over a restart' (trial) {
    const before = await trial.open({ backoffMs: 1_500 })
    trial.work(before, async (run) => {
      await run.save({ step: 1 })
      return (run.event as { code: string }).code === 'LATER' ? { status: 'later', delayMs: 1_500 } : failed()
    })
    await addAll(before, [newEvent({ code: 'LATER', key: 'deal:1' }), newEvent({ code: 'FAIL', key: 'deal:2' })])
    await until(() => trial.runs.length === 2, 'both have been tried')
    await trial.counted(before, { waiting: 2, active: 0, dead: 0 })
    await before.close(1_000)
    const after = await trial.open()
    trial.work(after)
    await trial.settled(after, 4)
    assert.deepEqual(trial.runs.slice(2).map(({ event: { code }, attempt, progress }) => [code, attempt, progress]).sort(), [['FAIL', 2, { step: 1 }], ['LATER', 1, { step: 1 }]])
  },

  async 'goes on with others while an event waits for its next attempt' (trial) {
    const queue = await trial.open({ backoffMs: 60_000 })
    trial.work(queue, ({ event }) => (event as { code: string }).code === 'FAIL' ? failed() : undefined, 1)
    const failing = [newEvent({ code: 'FAIL' })]
    const others = newEvents(10)
    await addAll(queue, [...failing, ...others])
    await trial.counted(queue, { waiting: 1, active: 0, dead: 0 })
    // No order is promised.
    assert.deepEqual(trial.ids.toSorted(), [...failing, ...others].map(({ id }) => id).toSorted())
  },

  async 'saves durably: another queue on the storage goes on from there' (trial) {
    const [one, two] = [await trial.open(), await trial.open()]
    const latch = newLatch()
    trial.work(one, async (run) => {
      await run.save({ step: 7 })
      await latch.opened
      return { status: 'later', delayMs: 1 }
    })
    await one.add(newEvent())
    await until(() => trial.runs.length === 1, 'it runs')
    const closing = one.close(5_000)
    trial.work(two)
    latch.open()
    await closing
    await trial.settled(two, 2)
    assert.deepEqual(trial.runs.map(({ progress }) => progress), [undefined, { step: 7 }])
  }
}
