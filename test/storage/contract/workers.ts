import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Run } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, newEvent, newEvents, newLatch, newStored, newTurn, type Trial } from './trial.ts'

const OTHER = { worker: 'worker-2' }

/** Workers that die, stand still, or lose an answer. */
export const WORKERS: Record<string, (trial: Trial) => Promise<void>> = {
  async 'gives the events of a worker that is gone to another, counted as an attempt' (trial) {
    const store = await trial.openStore()
    await store.add(Array.from({ length: 3 }, (_, i) => newStored({ key: 'k', body: `${i}` })))
    const { begun: [first] } = await store.turn(newTurn({ leaseMs: 100, free: 9 }))
    assert.deepEqual((await store.turn(newTurn({ ...OTHER, free: 9 }))).begun, [])
    await sleep(150)
    const { begun } = await store.turn(newTurn({ ...OTHER, free: 9 }))
    assert.deepEqual(begun.map(({ seq, attempts, body }) => [seq, attempts, body]), [[first!.seq, 1, '0']], 'before those that came later')
    const late = await store.turn(newTurn({ outcomes: [{ seq: first!.seq, status: 'done' }] }))
    assert.equal(late.isLeaseLost, true)
    assert.equal(await store.saveProgress('worker-1', first!.seq, '1'), false)
    assert.equal(await store.saveProgress('worker-2', first!.seq, '1'), true)
    assert.deepEqual(await store.counts(), { waiting: 2, active: 1, dead: 0 })
  },

  async 'makes a dead letter of an event that no worker survives' (trial) {
    const store = await trial.openStore({ attempts: 3 })
    await store.add([newStored({ id: 'killer' })])
    for (let attempts = 0; attempts < 3; attempts++) {
      const { begun } = await store.turn(newTurn({ worker: `worker-${attempts}`, leaseMs: 20, free: 1 }))
      assert.deepEqual(begun.map(event => event.attempts), [attempts])
      await sleep(40)
    }
    const { begun, dead } = await store.turn(newTurn({ worker: 'worker-9', free: 1 }))
    assert.deepEqual([begun, dead.map(({ id, attempts }) => [id, attempts])], [[], [['killer', 3]]])
    assert.ok((JSON.parse(dead[0]!.error) as { message: string }).message.length > 0)
    assert.equal(await store.replay('killer'), true)
    assert.deepEqual((await store.turn(newTurn({ worker: 'worker-9', free: 1 }))).begun.map(({ attempts }) => attempts), [0])
  },

  async 'does not forget for a repeat that workers died of an event' (trial) {
    const store = await trial.openStore({ attempts: 9 })
    const repeated = { key: 'k', dedup: 'd' }
    await store.add([newStored(repeated)])
    await store.turn(newTurn({ leaseMs: 20, free: 1 }))
    await sleep(40)
    await store.turn(newTurn(OTHER))
    await store.add([newStored(repeated)])
    const { begun } = await store.turn(newTurn({ ...OTHER, free: 1 }))
    assert.deepEqual(begun.map(({ attempts, coalesced }) => [attempts, coalesced]), [[1, 2]])
  },

  async 'takes back what a turn began whose answer was lost, not counted as an attempt' (trial) {
    const store = await trial.openStore()
    await store.add([newStored(), newStored(), newStored()])
    const { begun: [known] } = await store.turn(newTurn({ free: 1 }))
    const { begun: lost } = await store.turn(newTurn({ free: 2 }))
    const { begun } = await store.turn(newTurn({ free: 2, runs: [known!.seq] }))
    assert.deepEqual(begun.map(({ seq, attempts }) => [seq, attempts]), lost.map(({ seq }) => [seq, 0]))
    assert.deepEqual(await store.counts(), { waiting: 0, active: 3, dead: 0 })
  },

  async 'leaves alone what a worker runs for longer than its lease' (trial) {
    const queues = [await trial.open({ stalledAfterMs: 2_000 }), await trial.open({ stalledAfterMs: 2_000 })]
    const latch = newLatch()
    const runs: Run[] = []
    for (const queue of queues) {
      trial.work(queue, async run => {
        runs.push(run)
        await latch.opened
      })
    }
    await queues[0]!.add(newEvent())
    await until(() => runs.length === 1, 'it runs')
    await sleep(3_000)
    assert.deepEqual(runs.map(({ isAborted }) => isAborted), [false])
    latch.open()
    await trial.settled(queues[0]!, 1)
    assert.equal(runs.length, 1)
  },

  async 'aborts runs when the lease was lost, and takes no notice of how they end' (trial) {
    const queue = await trial.open({ stalledAfterMs: 300 })
    const store = await trial.openStore()
    const latch = newLatch()
    const runs: Run[] = []
    trial.work(queue, async run => {
      runs.push(run)
      if (runs.length === 1) await latch.opened
    })
    await queue.add(newEvent({ key: 'deal:1' }))
    await until(() => runs.length === 1, 'it runs')
    // As it does when the process stands still; a turn that was under way then renews the lease first.
    await until(async () => {
      const end = performance.now() + 500
      while (performance.now() < end);
      await store.turn(newTurn(OTHER))
      await sleep(50)
      return runs[0]!.isAborted
    }, 'it is aborted')
    await assert.rejects(runs[0]!.save(1), { code: 'FST_B24_STORE_UNAVAILABLE' })
    await until(() => runs.length === 2, 'it runs again')
    assert.equal(runs[1]!.attempt, 2)
    latch.open()
    await trial.settled(queue, 2)
    assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, dead: 0 })
  },

  async 'shares what waits between two workers' (trial) {
    const queues = [await trial.open(), await trial.open()]
    const counts = [0, 0]
    const events = newEvents(200)
    await addAll(queues[0]!, events)
    for (const [i, queue] of queues.entries()) {
      trial.work(queue, async () => {
        counts[i]!++
        await sleep(2)
      }, 2)
    }
    await trial.settled(queues[0]!, 200)
    assert.deepEqual(trial.ids.toSorted(), events.map(({ id }) => id).sort())
    assert.ok(Math.min(...counts) > 0, counts.join())
  }
}
