import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { EventStore, TurnResult } from '../../../src/storage/event-store.ts'
import { hasFreeSlot } from '../../../src/storage/fair-share.ts'
import { newStored, newTurn, type Trial } from './trial.ts'

const RUNNING = { 'portal-z': { own: 1, most: 1 } }

/** How many places a group gets of a worker, as `hasFreeSlot` says. */
export const PLACES: Record<string, (trial: Trial) => Promise<void>> = {
  async 'gives one place to each group that was not seen to respond, and three quarters to all of them' (trial) {
    const store = await trial.openStore()
    await addEach(store, Array.from({ length: 20 }, (_, i) => `portal-${i}`), 3)
    const { begun } = await store.turn(newTurn({ free: 16 }))
    assert.deepEqual(places(begun), Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`portal-${i}`, 1])))
    assert.ok(begun.every(({ groupState }) => groupState === 'untested'))
    const next = await store.turn(newTurn({ worker: 'worker-2', free: 16, runningOf: { untested: 11, hung: 0 }, running: { 'portal-z': { own: 11, most: 11 } } }))
    assert.equal(next.begun.length, 1)
  },

  async 'lets a group that responds have what it may, and three times what it leaves free' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn({ responsive: ['portal-a', 'portal-b', 'portal-c'] }))
    await addEach(store, ['portal-a'], 30)
    const { begun } = await store.turn(newTurn({ free: 16, running: { 'portal-a': { own: 0, most: 30 } } }))
    assert.deepEqual(places(begun), { 'portal-a': 12 })
    assert.ok(begun.every(({ groupState }) => groupState === 'responsive'))
    await addEach(store, ['portal-b', 'portal-c'], 30)
    const running = { 'portal-a': { own: 12, most: 30 }, 'portal-b': { own: 0, most: 2 }, 'portal-c': { own: 0, most: 30 } }
    assert.deepEqual(places((await store.turn(newTurn({ free: 4, running }))).begun), { 'portal-b': 2, 'portal-c': 1 })
  },

  async 'lets a group grow no further than its worker says' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn({ responsive: ['portal-a', 'portal-b'] }))
    await addEach(store, ['portal-a'], 30)
    assert.equal((await store.turn(newTurn({ free: 16 }))).begun.length, 1)
    assert.equal((await store.turn(newTurn({ free: 15, running: { 'portal-a': { own: 1, most: 4 } } }))).begun.length, 3)
  },

  async 'starts an event only if hasFreeSlot allows it' (trial) {
    const store = await trial.openStore()
    let groups = 0
    await store.turn(newTurn({ responsive: ['portal-z'] }))
    await fc.assert(fc.asyncProperty(fc.record({
      state: fc.constantFrom('responsive', 'untested', 'hung'),
      concurrency: fc.integer({ min: 1, max: 20 }),
      own: fc.integer({ min: 0, max: 8 }),
      most: fc.integer({ min: 1, max: 10 }),
      others: fc.integer({ min: 0, max: 20 }),
      untested: fc.integer({ min: 0, max: 20 }),
      hung: fc.integer({ min: 0, max: 6 })
    }), async ({ state, concurrency, own, most, others, untested, hung }) => {
      const group = `portal-${groups++}`
      await store.turn(newTurn({ [state]: [group] }))
      await addEach(store, [group], 1)
      const running = { [group]: { own, most }, 'portal-z': { own: others, most: 30 } }
      const { begun } = await store.turn(newTurn({ free: 1, concurrency, running, runningOf: { untested, hung } }))
      const expected = hasFreeSlot(state, { own, most, isAlone: false }, { concurrency, all: own + others, untested, hung })
      assert.equal(begun.length, Number(expected))
      // Nothing is left for the next round.
      const rest = expected ? begun : (await store.turn(newTurn({ free: 1, concurrency: 100 }))).begun
      assert.equal(rest.length, 1)
      await store.turn(newTurn({ outcomes: [{ seq: rest[0]!.seq, status: 'done' }] }))
    }), { numRuns: 200 })
  },

  async 'gives all places to a group that is alone' (trial) {
    const store = await trial.openStore()
    await addEach(store, ['portal-a'], 20)
    assert.equal((await store.turn(newTurn({ free: 16 }))).begun.length, 16)
  },

  async 'does not take a group for alone that waits, runs or has responded beside others' (trial) {
    const store = await trial.openStore()
    await addEach(store, ['portal-a'], 20)
    assert.equal((await store.turn(newTurn({ free: 15, running: RUNNING, runningOf: { untested: 1, hung: 0 } }))).begun.length, 1)
    await store.turn(newTurn({ responsive: ['portal-b'] }))
    assert.equal((await store.turn(newTurn({ free: 16 }))).begun.length, 1)
  },

  async 'gives one place to a group that hangs, a quarter to all of them, and all again when it responds' (trial) {
    const store = await trial.openStore()
    const groups = Array.from({ length: 6 }, (_, i) => `portal-${i}`)
    await store.turn(newTurn({ responsive: [...groups, 'portal-a'] }))
    await addEach(store, groups, 5)
    await store.turn(newTurn({ hung: groups }))
    const { begun } = await store.turn(newTurn({ free: 16 }))
    assert.deepEqual(places(begun), { 'portal-0': 1, 'portal-1': 1, 'portal-2': 1, 'portal-3': 1 })
    assert.ok(begun.every(({ groupState }) => groupState === 'hung'))
    await addEach(store, ['portal-a'], 1)
    const running = Object.fromEntries(begun.map(({ group }) => [group, { own: 1, most: 9 }]))
    const full = { running, runningOf: { untested: 4, hung: 4 } }
    assert.deepEqual(places((await store.turn(newTurn({ free: 12, ...full }))).begun), { 'portal-a': 1 }, 'others pass them')
    const next = await store.turn(newTurn({ free: 12, ...full, responsive: ['portal-5'], running: { ...running, 'portal-5': { own: 0, most: 9 } } }))
    assert.deepEqual(places(next.begun), { 'portal-5': 5 })
  },

  async 'gives one place to a group that hangs though it is alone' (trial) {
    const store = await trial.openStore()
    await addEach(store, ['portal-a'], 5)
    await store.turn(newTurn({ hung: ['portal-a'] }))
    assert.equal((await store.turn(newTurn({ free: 16 }))).begun.length, 1)
  },

  async 'never treats an unverified group as responsive' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn({ responsive: ['? 192.0.2.1', 'portal-a'] }))
    await addEach(store, ['? 192.0.2.1'], 5)
    const { begun } = await store.turn(newTurn({ free: 16 }))
    assert.deepEqual(begun.map(({ groupState }) => groupState), ['untested'])
  },

  async 'starts priority events first, those of an unverified group one at a time' (trial) {
    const store = await trial.openStore()
    await addEach(store, ['portal-a', 'portal-b'], 3)
    await addEach(store, ['portal-c'], 3, true)
    await addEach(store, ['? 192.0.2.1', '? 192.0.2.2'], 3, true)
    const { begun } = await store.turn(newTurn({ free: 7 }))
    assert.deepEqual(places(begun), { 'portal-c': 3, '? 192.0.2.1': 1, '? 192.0.2.2': 1, 'portal-a': 1, 'portal-b': 1 })
    assert.deepEqual(begun.slice(-2).map(({ group }) => group), ['portal-a', 'portal-b'])
  },

  async 'takes a group for alone beside one that hung and has nothing' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn({ responsive: ['portal-b'] }))
    await store.turn(newTurn({ hung: ['portal-b'] }))
    await addEach(store, ['portal-a'], 20)
    assert.equal((await store.turn(newTurn({ free: 16 }))).begun.length, 16)
  },

  async 'starts a priority event of a group that is alone, however many slots it uses' (trial) {
    const store = await trial.openStore()
    await addEach(store, ['portal-a'], 1, true)
    assert.equal((await store.turn(newTurn({ free: 2, running: { 'portal-a': { own: 14, most: 14 } } }))).begun.length, 1)
  },

  async 'lets groups take turns, each with its oldest event' (trial) {
    const store = await trial.openStore()
    await store.turn(newTurn({ responsive: ['a', 'b', 'c'] }))
    for (const group of ['a', 'b', 'c', 'a', 'b', 'a']) await store.add([newStored({ group, body: `"${group}"` })])
    const order: string[] = []
    for (let i = 0; i < 6; i++) order.push(...(await store.turn(newTurn({ free: 1 }))).begun.map(({ group }) => group))
    assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a'])
  }
}

async function addEach (store: EventStore, groups: string[], count: number, isPriority = false): Promise<void> {
  for (const group of groups) await store.add(Array.from({ length: count }, () => newStored({ group, isPriority })))
}

function places (begun: TurnResult['begun']): Record<string, number> {
  const count: Record<string, number> = {}
  for (const { group } of begun) count[group] = (count[group] ?? 0) + 1
  return count
}
