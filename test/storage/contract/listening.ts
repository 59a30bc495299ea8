import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../helpers/until.ts'
import { newEvent, newEvents, newStored, newTurn, type Trial } from './trial.ts'

const OTHER = { worker: 'worker-2' }

/** Events that one worker listens to, and another does not. */
export const LISTENING: Record<string, (trial: Trial) => Promise<void>> = {
  async 'leaves an event to the worker that listens to it' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn())
    await store.turn(newTurn(OTHER))
    await store.listen('worker-1', ['OLD'])
    await store.listen('worker-2', ['OLD', 'NEW'])
    await store.add(['NEW', 'OLD', 'NEW_1220', 'OLD_7'].map(code => newStored({ code, body: `"${code}"` })))
    assert.deepEqual((await store.turn(newTurn({ free: 9 }))).begun.map(({ body }) => body), ['"OLD"', '"OLD_7"'])
    assert.deepEqual(await store.counts(), { waiting: 2, active: 2, dead: 0 })
    assert.deepEqual((await store.turn(newTurn({ free: 9 }))).begun, [])
    assert.deepEqual((await store.turn(newTurn({ ...OTHER, free: 9 }))).begun.map(({ body }) => body).sort(), ['"NEW"', '"NEW_1220"'])
  },

  async 'takes back no more than there are places' (trial) {
    const store = await trial.openStore()
    for (const [worker, codes] of [['worker-1', ['OLD']], ['worker-2', ['NEW', 'OLD']]] as const) {
      await store.turn(newTurn({ worker }))
      await store.listen(worker, codes)
    }
    await store.turn(newTurn({ responsive: ['a', 'b'] }))
    await store.add(Array.from({ length: 3 }, (_, i) => newStored({ group: 'a', code: 'NEW', body: `${i}` })))
    await store.turn(newTurn({ free: 1 }))
    await store.add([newStored({ group: 'b', code: 'OLD', body: '3' })])
    const begun: string[] = []
    for (let i = 0; i < 4; i++) begun.push(...(await store.turn(newTurn({ ...OTHER, free: 1 }))).begun.map(({ body }) => body))
    assert.deepEqual(begun.toSorted(), ['0', '1', '2', '3'])
    assert.deepEqual(begun.filter(body => body !== '3'), ['0', '1', '2'], 'in order of arrival')
  },

  async 'gives an event that nobody listens to, to any worker' (trial) {
    const store = await trial.openStore()
    for (const worker of ['worker-1', 'worker-2']) {
      await store.turn(newTurn({ worker }))
      await store.listen(worker, ['OLD'])
    }
    await store.add([newStored({ code: 'NEW' })])
    assert.equal((await store.turn(newTurn({ free: 1 }))).begun.length, 1)
  },

  async 'gives what was put aside to any worker when those that listen to it are gone' (trial) {
    const store = await trial.openStore()
    for (const [worker, leaseMs, codes] of [['worker-1', 30_000, ['OLD']], ['worker-2', 100, ['NEW']], ['worker-3', 30_000, undefined]] as const) {
      await store.turn(newTurn({ worker, leaseMs }))
      await store.listen(worker, codes)
    }
    await store.add([newStored({ code: 'NEW' })])
    assert.equal((await store.turn(newTurn({ free: 1 }))).begun.length, 0)
    await sleep(150)
    assert.equal((await store.turn(newTurn({ free: 1 }))).begun.length, 0, 'one that listens to everything is left')
    await store.turn(newTurn({ worker: 'worker-3', leaseMs: 0 }))
    assert.equal((await store.turn(newTurn({ free: 1 }))).begun.length, 1)
  },

  async 'gives priority events to every worker' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn(OTHER))
    await store.turn(newTurn())
    await store.listen('worker-1', [])
    await store.add([newStored({ code: 'ONAPPINSTALL', isPriority: true }), newStored({ code: 'OLD' })])
    assert.equal((await store.turn(newTurn({ free: 2 }))).begun.length, 1)
  },

  async 'makes repeats one with what was put aside, and keeps the order of a key' (trial) {
    const store = await trial.openStore()
    for (const [worker, codes] of [['worker-1', ['OLD']], ['worker-2', undefined]] as const) {
      await store.turn(newTurn({ worker }))
      await store.listen(worker, codes)
    }
    await store.add([newStored({ code: 'NEW', key: 'k', dedup: 'd', body: '1' }), newStored({ code: 'OLD', key: 'k', body: '2' })])
    assert.equal((await store.turn(newTurn({ free: 9 }))).begun.length, 0, 'the one behind it waits for it')
    assert.deepEqual(await store.add([newStored({ code: 'NEW', key: 'k', dedup: 'd', body: '3' })]), ['coalesced'])
    const { begun } = await store.turn(newTurn({ ...OTHER, free: 9 }))
    assert.deepEqual(begun.map(({ body, coalesced }) => [body, coalesced]), [['3', 2]])
    const next = await store.turn(newTurn({ free: 9 }))
    assert.deepEqual(next.begun, [])
    await store.turn(newTurn({ ...OTHER, outcomes: [{ seq: begun[0]!.seq, status: 'done' }] }))
    assert.deepEqual((await store.turn(newTurn({ free: 9 }))).begun.map(({ body }) => body), ['2'])
  },

  async 'handles each of many events where a worker listens to it' (trial) {
    const queues = [await trial.open(), await trial.open()]
    const seen: string[] = []
    for (const [i, codes] of [['OLD'], ['OLD', 'NEW']].entries()) {
      queues[i]!.work(async ({ event }) => {
        seen.push(`${(event as { code: string }).code} ${i}`)
        return { status: 'done' }
      }, { concurrency: 4, onDead: () => {}, listensTo: () => codes })
    }
    await sleep(100)
    await Promise.all([...newEvents(50, { code: 'NEW' }), ...newEvents(50, { code: 'OLD' }), newEvent({ code: 'NEW_5' })].map(event => queues[0]!.add(event)))
    await until(() => seen.length === 101, 'all are handled')
    assert.equal(seen.filter(line => line === 'NEW 1').length, 50)
    assert.equal(seen.filter(line => line.startsWith('NEW_5 ')).length, 1)
    assert.ok(seen.includes('NEW_5 1'))
  }
}
