import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { ChatEvents } from '../../../src/portal/offline/chat-events.ts'
import type { OfflineEvent } from '../../../src/portal/offline/offline-event.ts'
import { RestError, waitForIdle, type SimulatedPortal } from '../../../src/testing/index.ts'
import { buildApp, buildWorld } from '../../helpers/app.ts'
import { openPortalWorld } from '../../helpers/portal-world.ts'
import { secret } from '../../helpers/secrets.ts'
import { until } from '../../helpers/until.ts'

const message = (id: number) => ({ message: { id, chatId: 5, authorId: 1, text: `hello ${id}` }, chat: { id: 5 }, user: { id: 1 }, language: 'en' })

/** Simulates `im.v2.Event.get`: requesting an offset deletes all events before it. */
function record (portal: SimulatedPortal, { page = 100 } = {}) {
  let events: Array<Record<string, unknown>> = []
  let isSubscribed = false
  let nextId = 2001
  const offsets: unknown[] = []
  portal.stub('im.v2.Event.subscribe', () => { isSubscribed = true; return true })
  portal.stub('im.v2.Event.get', ({ offset, limit }) => {
    offsets.push(offset)
    events = events.filter(({ eventId }) => offset === undefined || Number(eventId) >= Number(offset))
    const given = isSubscribed ? events.slice(0, Math.min(page, Number(limit))) : []
    return { events: given, nextOffset: given.length === 0 ? Number(offset ?? 0) : Number(given.at(-1)?.['eventId']) + 1, hasMore: events.length > given.length }
  })
  const add = (more: object = {}) => {
    const eventId = nextId++
    events.push({ eventId, type: 'ONIMV2MESSAGEADD', date: '2025-01-15T10:30:00+03:00', data: message(eventId), ...more })
  }
  return { add, offsets, left: () => events.length, subscribed: () => isSubscribed }
}

async function setup (t: Test) {
  const { world, rest, install } = await openPortalWorld(t)
  const [portal] = await install() as [SimulatedPortal]
  const kept: OfflineEvent[] = []
  const logs: unknown[][] = []
  const clock = { now: 1_000_000 }
  let fails = 0
  const parts = { rest, store: world.place.store, locks: world.place.locks, enqueue: async (event: OfflineEvent) => { if (fails-- > 0) throw new Error('store is down'); kept.push(event) }, log: { warn: (...line: unknown[]) => { logs.push(line) } }, now: () => clock.now }
  return { portal, world, kept, clock, logs, parts, open: () => new ChatEvents(parts), failNext: (times: number) => { fails = times } }
}

t.test('makes the portal record events, and fetches them page by page from the stored offset', async t => {
  const { portal, kept, open, world } = await setup(t)
  const chat = record(portal, { page: 2 })
  const events = open()
  t.match(await events.drain(portal.memberId), { stored: 0, error: undefined })
  t.ok(chat.subscribed())
  for (let i = 0; i < 5; i++) chat.add()
  t.match(await events.drain(portal.memberId), { reserved: 5, stored: 5, busy: false, error: undefined })
  t.strictSame(kept.map(({ code, data }) => [code, (data as { message: { id: unknown } }).message.id]), [2001, 2002, 2003, 2004, 2005].map(id => ['ONIMV2MESSAGEADD', id]))
  t.strictSame(chat.offsets, [undefined, undefined, 2003, 2005])
  t.match(await world.place.store.get(portal.memberId), { install: { chatEvents: { userId: 1, offset: 2006 } } }, 'kept with the install')
  t.match(await open().drain(portal.memberId), { stored: 0 }, 'another process')
  t.equal(chat.offsets.at(-1), 2006)
  t.equal(chat.left(), 0, 'what is stored is confirmed')
  t.equal(portal.calls.filter(({ method }) => method.toLowerCase() === 'im.v2.event.subscribe').length, 2, 'once for each process')
})

t.test('refetches events that were not stored, with the same id', async t => {
  const { portal, kept, open, failNext } = await setup(t)
  const chat = record(portal)
  for (let i = 0; i < 3; i++) chat.add()
  failNext(1)
  t.match(await open().drain(portal.memberId), { error: { message: 'store is down' } })
  t.equal(chat.left(), 3)
  const before = kept.map(({ id }) => id)
  t.match(await open().drain(portal.memberId), { stored: 3 })
  t.equal(new Set(kept.map(({ id }) => id)).size, 3)
  t.ok(before.every(id => kept.filter(event => event.id === id).length === 2))
})

t.test('one process at a time fetches from a portal', async t => {
  const { portal, parts, open } = await setup(t)
  record(portal).add()
  const lock = await parts.locks.take(`chat-events:${portal.memberId}`, 60_000)
  t.match(await open().drain(portal.memberId), { busy: true, stored: 0 })
  await lock?.release()
  t.match(await open().drain(portal.memberId), { busy: false, stored: 1 })
})

t.test('a portal that refused is not called for an hour, unless the app\'s permissions change', async t => {
  const { portal, open, clock, world } = await setup(t)
  portal.stub('im.v2.Event.subscribe', () => { throw new RestError(403, 'insufficient_scope', 'im') })
  const events = open()
  t.match(await events.drain(portal.memberId), { error: { code: 'insufficient_scope' } })
  t.match(await events.drainNew(portal.memberId), { error: { code: 'insufficient_scope' } })
  const asked = () => portal.calls.filter(({ method }) => method.toLowerCase() === 'im.v2.event.subscribe').length
  t.equal(asked(), 1)
  clock.now += 3_600_001
  await events.drain(portal.memberId)
  t.equal(asked(), 2)
  record(portal).add()
  const { version, install } = (await world.place.store.get(portal.memberId))!
  await world.place.store.swap(portal.memberId, version, { ...install, scope: [...install.scope, 'im'] })
  t.match(await events.drain(portal.memberId), { stored: 1, error: undefined })
  t.match(await events.drain('nobody'), { stored: 0, error: undefined })
})

t.test('offsets and ids of events are per user', async t => {
  const { portal, open, kept, world } = await setup(t)
  const chat = record(portal)
  const { version, install } = (await world.place.store.get(portal.memberId))!
  await world.place.store.swap(portal.memberId, version, { ...install, chatEvents: { userId: 99, offset: 500_000 } })
  chat.add()
  t.match(await open().drain(portal.memberId), { stored: 1 })
  t.strictSame(chat.offsets, [undefined])
  portal.stub('profile', () => ({ ID: '2' }))
  record(portal).add()
  t.match(await open().drain(portal.memberId), { stored: 1 })
  t.equal(new Set(kept.map(({ id }) => id)).size, 2)
})

t.test('malformed responses stop a fetch and never move the offset back', async t => {
  const { portal, open, kept, logs } = await setup(t)
  record(portal)
  const answers: unknown[] = [
    null, [], { events: null }, { events: [null, 5, {}, { eventId: 'x' }], nextOffset: 7, hasMore: true }, { events: [], nextOffset: 9, hasMore: true },
    { events: [{ eventId: 3, type: 'ONIMV2MESSAGEADD', date: 'x', data: {} }], nextOffset: 1, hasMore: false },
    { events: [{ eventId: 3, type: 'ONIMV2MESSAGEADD', date: 'x', data: {} }], nextOffset: 4, hasMore: true },
    { events: [{ eventId: 4, type: { a: 1 }, data: 'x' }], nextOffset: 5, hasMore: false }
  ]
  const offsets: unknown[] = []
  portal.stub('im.v2.Event.get', ({ offset }) => { offsets.push(offset); return answers.shift() })
  const events = open()
  while (answers.length > 0) t.match(await events.drain(portal.memberId), { error: undefined })
  t.strictSame(offsets, [undefined, undefined, undefined, undefined, undefined, undefined, 4, 4])
  t.equal(kept.length, 1)
  t.strictSame(logs, [[{ memberId: portal.memberId, rowId: '4' }, 'skipped an invalid chat event']])
})

t.test('reaches the handlers of an app even if another portal refuses', async t => {
  const { app, b24, eventsUrl, logs } = await buildWorld(t, { subscriptions: { fetchEveryMs: 1_000 } })
  const heard: unknown[] = []
  app.bitrix24.on('onImV2MessageAdd', (event, { portal }) => { heard.push([portal.domain, event.data.message.text, event.name]) })
  const name = randomBytes(4).toString('hex')
  const [bad, good] = [b24.portal(`bad-${name}.bitrix24.com`), b24.portal(`good-${name}.bitrix24.com`)]
  good.scope.push('im')
  let id = 2001
  const say = async () => await good.emit({ code: 'ONIMV2MESSAGEADD', data: message(id++) })
  for (const portal of [bad, good]) await portal.install(eventsUrl)
  await waitForIdle(app.bitrix24)
  await until(() => good.calls.some(({ method }) => method.toLowerCase() === 'im.v2.event.get'), 'it is subscribed', 15_000)
  await say()
  await until(() => heard.length === 1, 'it is handled', 15_000)
  t.match(heard, [[/good/, 'hello 2001', 'onImV2MessageAdd']])
  await until(() => logs.some(line => line.includes('insufficient_scope')), 'the refusal is told', 15_000)
  await say()
  await until(() => heard.length === 2, 'it goes on', 15_000)
  t.equal(logs.filter(line => line.includes('insufficient_scope')).length, 1, 'once')
})

t.test('requires a queue', async t => {
  const { app } = await buildApp(t, { clientId: 'local.chat', clientSecret: secret(), delivery: { mode: 'inline' } })
  app.bitrix24.on('onImV2JoinChat', () => {})
  await t.rejects(async () => await app.ready(), { code: 'FST_B24_INVALID_OPTIONS', message: /onImV2JoinChat require delivery\.mode 'queue'/ })
})
