import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventQueue } from '../../../src/storage/event-queue.ts'
import type { QueuedEvent } from '../../../src/storage/queued-event.ts'
import { until } from '../../helpers/until.ts'
import { addAll, dead, newEvent, newEvents, newLatch, type Trial } from './trial.ts'

/** Who goes first. */
export const TURNS: Record<string, (trial: Trial) => Promise<void>> = {
  async 'handles a lifecycle event before 200 others that wait' (trial) {
    const queue = await trial.open()
    await addAll(queue, [...newEvents(100), ...newEvents(100, { memberId: 'portal-b' })])
    const early = newEvent({ isPriority: true, code: 'ONAPPINSTALL' })
    await queue.add(early)
    const gates = [newLatch(), newLatch()]
    trial.work(queue, async () => { await gates[trial.runs.length - 1]?.opened }, 1)
    await until(() => trial.runs.length === 1, 'one runs')
    gates[0]?.open()
    await until(() => trial.runs.length === 2, 'two have begun')
    const late = newEvent({ isPriority: true, code: 'ONAPPUNINSTALL', memberId: 'portal-c' })
    await queue.add(late)
    gates[1]?.open()
    await until(() => trial.runs.length > 2, 'a third has begun')
    assert.deepEqual([trial.ids[0], trial.ids[2]], [early.id, late.id])
  },

  async 'lets another portal have its turn soon while a thousand events of one wait' (trial) {
    const queue = await trial.open()
    await Promise.all(newEvents(1_000).map(event => queue.add(event)))
    trial.work(queue, async () => { await sleep(5) }, 4)
    await until(() => trial.runs.length > 40, 'the busy portal is at work')
    await hasItsTurnSoon(trial, queue, newEvent({ memberId: 'portal-b' }))
  },

  async 'lets another portal have its turn soon while a thousand events of one come back' (trial) {
    const queue = await trial.open()
    trial.work(queue, async () => {
      if (trial.runs.length <= 1_000) return { status: 'later', delayMs: 1_500 }
      await sleep(5)
      return { status: 'done' }
    }, 4)
    await Promise.all(newEvents(1_000).map(event => queue.add(event)))
    await until(() => trial.runs.length > 1_040, 'they come back')
    // The first after a while may have an earlier turn than its due.
    await queue.add(newEvent({ memberId: 'portal-c' }))
    await sleep(100)
    await hasItsTurnSoon(trial, queue, newEvent({ memberId: 'portal-b' }))
  },

  async 'leaves places for other portals while the handlers of one hang' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async ({ event }) => {
      if ((event as { payload: unknown }).payload === 'hangs') await latch.opened
    }, 16)
    await queue.add(newEvent({ memberId: 'portal-z' }))
    await trial.settled(queue, 1)
    const hanging = ['portal-a', 'portal-b'].map(memberId => newEvents(300, { memberId, payload: 'hangs' }))
    await Promise.all(hanging.flat().map(event => queue.add(event)))
    const begun = () => new Set(trial.runs.map(({ event: { memberId } }) => memberId))
    await until(() => begun().has('portal-a') && begun().has('portal-b'), 'both are at work')
    await sleep(100)
    assert.equal(trial.runs.filter(({ endedAt }) => endedAt === undefined).length, 2, 'each has one place until a run ends well')
    for (let i = 0; i < 20; i++) {
      const event = newEvent({ memberId: `portal-${'cd'[i % 2]}` })
      await queue.add(event)
      await until(() => trial.ids.includes(event.id), 'another portal has its turn', 3_000)
    }
    assert.equal(trial.runs.filter(({ endedAt }) => endedAt === undefined).length, 2)
    latch.open()
    await trial.settled(queue, 621)
    assert.equal(new Set(trial.ids).size, 621)
    assert.equal(trial.ids.length, 621)
  },

  async 'gives all places to a portal that is alone' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async ({ event }) => { if ((event as { isPriority?: true }).isPriority !== true) await latch.opened }, 2)
    await queue.add(newEvent({ isPriority: true, code: 'ONAPPINSTALL', group: '? 198.51.100.1' }))
    await trial.settled(queue, 1)
    await addAll(queue, newEvents(20))
    await until(() => trial.runs.length === 3, 'both places are taken')
    latch.open()
    await trial.settled(queue, 21)
  },

  async 'leaves slots free while an unverified group, though alone, waits for a server that does not respond' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async ({ event }) => { if ((event as { group?: string }).group !== undefined) await latch.opened }, 8)
    for (const isPriority of [true, false]) await addAll(queue, newEvents(10, { group: '? 198.51.100.0/24', isPriority }))
    await until(() => trial.runs.length === 2, 'it has a quarter of the places')
    const event = newEvent()
    await queue.add(event)
    await until(() => trial.ids.includes(event.id), 'another has its turn', 3_000)
    assert.equal(trial.runs.length, 3)
    latch.open()
    await trial.settled(queue, 21)
  },

  async 'leaves places for other portals while the lifecycle hooks of one hang' (trial) {
    const queue = await trial.open()
    const latch = newLatch()
    trial.work(queue, async ({ event }) => {
      if ((event as { payload: unknown }).payload === 'hangs') await latch.opened
    }, 8)
    await queue.add(newEvent({ memberId: 'portal-z' }))
    await trial.settled(queue, 1)
    await addAll(queue, newEvents(20, { isPriority: true, code: 'ONAPPINSTALL', payload: 'hangs' }))
    await until(() => trial.runs.length >= 6, 'the portal has its share')
    const event = newEvent({ memberId: 'portal-b' })
    await queue.add(event)
    await until(() => trial.ids.includes(event.id), 'another has its turn', 3_000)
    latch.open()
    await trial.settled(queue, 22)
  },

  async 'counts an event with a turn of its own for that, and not for its portal' (trial) {
    const queue = await trial.open()
    const forged = newEvents(150, { group: '? 198.51.100.1' })
    await Promise.all(forged.map(event => queue.add(event)))
    trial.work(queue, async ({ event }) => {
      await sleep(5)
      return (event as { payload: unknown }).payload === 'dies' ? dead() : undefined
    }, 4)
    await until(() => trial.runs.length > 40, 'the unverified group is running')
    const event = newEvent()
    await hasItsTurnSoon(trial, queue, event)
    await queue.add(newEvent({ group: '? 198.51.100.1', payload: 'dies' }))
    await trial.waitForDead(1)
    const [deadLetter] = (await queue.deadLetters.list(deadLetter => deadLetter.memberId === event.memberId)).items
    assert.equal(deadLetter?.event?.group, '? 198.51.100.1', 'it still belongs to its portal')
    assert.equal(await queue.deadLetters.replay(deadLetter.id), true)
    await trial.waitForDead(2)
  },

  async 'handles one key of a portal at a time, whoever has the turn' (trial) {
    const queue = await trial.open()
    const events = Array.from({ length: 40 }, (_, i) => newEvent({ key: 'deal:1', ...(i % 2 === 0 && { group: `? ${i % 3}` }) }))
    await addAll(queue, events)
    trial.work(queue, async () => { await sleep(2) })
    await trial.settled(queue, 40)
    assert.equal(new Set(trial.ids).size, 40)
  },

  async 'lets twenty quiet portals have their turns soon while 500 events of one wait' (trial) {
    const queue = await trial.open()
    await Promise.all(newEvents(500).map(event => queue.add(event)))
    await addAll(queue, Array.from({ length: 40 }, (_, i) => newEvent({ memberId: `quiet-${i % 20}` })))
    trial.work(queue, async () => { await sleep(2) }, 4)
    await until(() => trial.runs.length >= 150, '150 have begun')
    const quiet = trial.runs.slice(0, 150).filter(({ event }) => event.memberId !== 'portal-a')
    assert.equal(quiet.length, 40)
  },

  async 'handles the oldest of a portal first, though new ones come all the time' (trial) {
    const queue = await trial.open()
    const oldest = newEvents(50)
    await addAll(queue, oldest)
    trial.work(queue, async () => {
      await queue.add(newEvent({ memberId: trial.runs.length % 2 === 0 ? 'portal-a' : 'portal-b' }))
      await sleep(2)
    }, 4)
    await until(() => trial.runs.length >= 150, '150 have begun')
    const places = oldest.map(({ id }) => trial.ids.indexOf(id))
    // The two portals take turns, and four runs at once may pass each other.
    for (const [i, place] of places.entries()) assert.ok(place !== -1 && place <= 2 * i + 20, `${places.join()}`)
    assert.deepEqual(places.map(place => Math.floor(place / 20)), places.map(place => Math.floor(place / 20)).sort((a, b) => a - b))
  },

  async 'handles a delayed event although others of its portal keep coming' (trial) {
    const queue = await trial.open()
    const held = newEvent({ payload: 'held' })
    trial.work(queue, async ({ event }) => {
      if ((event as { payload: unknown }).payload === 'held' && trial.runs.length < 10) return { status: 'later', delayMs: 20 }
      if (trial.runs.length < 2_000) await queue.add(newEvent())
      await sleep(2)
    }, 2)
    await addAll(queue, [held, ...newEvents(20)])
    await until(() => trial.ids.lastIndexOf(held.id) >= 9, 'it is handled', 5_000)
    assert.ok(trial.ids.lastIndexOf(held.id) < 200, `as number ${trial.ids.lastIndexOf(held.id)}`)
  }
}

/** Adds an event behind many of others, which must not all go first. */
async function hasItsTurnSoon (trial: Trial, queue: EventQueue, event: QueuedEvent): Promise<void> {
  await queue.add(event)
  const before = trial.runs.length
  await until(() => trial.ids.includes(event.id), 'it has its turn')
  const place = trial.ids.indexOf(event.id) - before
  assert.ok(place <= 20, `as number ${place}`)
}
