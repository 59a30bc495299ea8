import assert from 'node:assert/strict'
import { EVENT_OVERHEAD_BYTES, MAX_UNVERIFIED_BYTES, type EventStore } from '../../../src/storage/event-store.ts'
import { until } from '../../helpers/until.ts'
import { addAll, newEvent, newEvents, newLatch, newStored, newTurn, type Trial } from './trial.ts'

const KB = 1024
/** Of a store for 1 MB: a quarter is 256 events. */
const BODY = JSON.stringify('x'.repeat(KB - EVENT_OVERHEAD_BYTES - 2))
const MB = KB * KB

/** How much may be pending of one group, and of all. */
export const SHARES: Record<string, (trial: Trial) => Promise<void>> = {
  async 'refuses what is beyond the share of a group, and takes in what others send' (trial) {
    const store = await trial.openStore({ maxWaitingBytes: MB })
    assert.equal(await fill(store, 'portal-a'), 256)
    assert.deepEqual(await store.add([newStored({ body: BODY })]), ['over_share'])
    assert.deepEqual(await store.add([newStored({ body: BODY }), newStored({ group: 'portal-b', body: BODY }), newStored({ body: BODY })]), ['over_share', 'stored', 'over_share'])
    assert.equal((await store.counts()).waiting, 257)
    // A quarter of what the first leaves.
    assert.equal(await fill(store, 'portal-b'), 191)
  },

  async 'counts what runs as pending, and what was handled no more' (trial) {
    const store = await trial.openStore({ maxWaitingBytes: MB })
    await fill(store, 'portal-a')
    const { begun } = await store.turn(newTurn({ free: 10 }))
    assert.equal(begun.length, 10)
    assert.deepEqual(await store.add([newStored({ body: BODY })]), ['over_share'])
    await store.turn(newTurn({ outcomes: begun.map(({ seq }) => ({ seq, status: 'done' })) }))
    assert.equal(await fill(store, 'portal-a'), 10)
  },

  async 'does not count dead letters, but counts them again when they are put back' (trial) {
    const store = await trial.openStore({ maxWaitingBytes: MB })
    await fill(store, 'portal-a')
    const { begun: [event] } = await store.turn(newTurn({ free: 1 }))
    const { dead: [deadLetter] } = await store.turn(newTurn({ outcomes: [{ seq: event!.seq, status: 'dead', attempts: 1, error: '{}' }] }))
    assert.equal(await fill(store, 'portal-a'), 1)
    assert.equal(await store.replay(deadLetter!.id), true)
    const { begun } = await store.turn(newTurn({ free: 2 }))
    await store.turn(newTurn({ outcomes: begun.map(({ seq }) => ({ seq, status: 'done' })) }))
    assert.deepEqual(await store.add([newStored({ body: BODY })]), ['stored'])
    assert.deepEqual(await store.add([newStored({ body: BODY })]), ['over_share'])
  },

  async 'takes in a repeat that does not grow, and refuses one that would grow beyond the share' (trial) {
    const store = await trial.openStore({ maxWaitingBytes: MB })
    const repeated = { key: 'k', dedup: 'd' }
    await store.add([newStored({ ...repeated, body: BODY })])
    assert.equal(await fill(store, 'portal-a'), 255)
    assert.deepEqual(await store.add([newStored({ ...repeated, body: BODY })]), ['coalesced'])
    assert.deepEqual(await store.add([newStored({ ...repeated, body: `${BODY} ` })]), ['over_share'])
    assert.deepEqual(await store.add([newStored({ ...repeated, body: '1' })]), ['coalesced'])
    assert.deepEqual(await store.add([newStored({ ...repeated, body: BODY })]), ['coalesced'])
    const { begun } = await store.turn(newTurn({ free: 1 }))
    assert.deepEqual(begun.map(({ body, coalesced }) => [body, coalesced]), [[BODY, 4]])
  },

  async 'has a separate limit for unverified events' (trial) {
    const store = await trial.openStore({ maxWaitingBytes: MB })
    const body = JSON.stringify('x'.repeat(64 * KB - EVENT_OVERHEAD_BYTES - 2))
    assert.equal(await fill(store, '? 192.0.2.1', body), MAX_UNVERIFIED_BYTES / 4 / (64 * KB))
    assert.deepEqual(await store.add([newStored({ group: '? 192.0.2.2', body })]), ['stored'])
    assert.equal(await fill(store, 'portal-a'), 256)
  },

  async 'says that a portal has as much waiting as it may, and goes on when some is handled' (trial) {
    const queue = await trial.open({ maxWaitingBytes: 100_000 })
    const latch = newLatch()
    const events = newEvents(40)
    let stored = 0
    await assert.rejects(async () => { for (const event of events) await queue.add(event).then(() => stored++) }, { code: 'FST_B24_PORTAL_QUOTA', statusCode: 503 })
    assert.ok(stored > 20, `${stored}`)
    await queue.add(newEvent({ memberId: 'portal-b' }))
    trial.work(queue, async () => { await latch.opened })
    latch.open()
    await trial.settled(queue, stored + 1)
    await addAll(queue, events.slice(0, stored))
    await until(async () => (await queue.counts()).waiting === 0, 'all is handled')
  }
}

/** Adds events one by one until they are refused. */
async function fill (store: EventStore, group: string, body = BODY): Promise<number> {
  for (let count = 0; count < 1_000; count++) {
    if ((await store.add([newStored({ group, body })]))[0] === 'over_share') return count
  }
  throw new Error('there is no end')
}
