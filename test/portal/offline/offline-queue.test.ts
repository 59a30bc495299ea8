import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { FST_B24_PORTAL_QUOTA } from '../../../src/errors.ts'
import { storeUnavailable } from '../../../src/storage/unavailable.ts'
import type { Locks } from '../../../src/storage/storage.ts'
import { OfflineQueue, type OfflineQueueParts } from '../../../src/portal/offline/offline-queue.ts'
import type { OfflineEvent } from '../../../src/portal/offline/offline-event.ts'
import type { SimulatedPortal } from '../../../src/testing/index.ts'
import { openPortalWorld } from '../../helpers/portal-world.ts'
import { until } from '../../helpers/until.ts'

const DEAL = 2

async function setup (t: Test, parts: Partial<OfflineQueueParts> = {}) {
  const { world, rest, install } = await openPortalWorld(t)
  const [portal] = await install() as [SimulatedPortal]
  const { clientId } = world.settings
  const stored: OfflineEvent[] = []
  const logs: unknown[][] = []
  const log = { warn: (...line: unknown[]) => logs.push(line), error: (...line: unknown[]) => logs.push(line) }
  /** Records REST calls as sent. */
  const sent: Array<{ method: string, params: Record<string, unknown> }> = []
  const spied = {
    call: async <T>(...[memberId, method, params = {}, options]: Parameters<typeof rest.call>) => {
      sent.push({ method, params: { ...params } })
      return await rest.call<T>(memberId, method, params, options)
    }
  }
  /** Simulates another process. */
  const open = (more: Partial<OfflineQueueParts> = {}) => new OfflineQueue({ rest: spied, locks: world.place.locks, store: async event => { stored.push(event) }, log, ...parts, ...more })
  const bind = (event = 'ONCRMDEALUPDATE', connector = '') => portal.bindings.add({ clientId, event, handler: '', userId: 0, offline: true, connector })
  bind()
  const change = async (...ids: number[]) => { for (const id of ids) await portal.change(DEAL, id) }
  const left = () => portal.offlineEvents.rows.length
  /** Item ids of stored events, in order, with repeats. */
  const items = () => stored.map(({ data }) => (data as { FIELDS: { ID: number } }).FIELDS.ID)
  const methods = () => sent.map(({ method }) => method.replace('event.offline.', ''))
  return { world, rest, spied, portal, queue: open(), open, stored, items, logs, log, sent, methods, bind, change, left, clientId }
}

t.test('fetches waiting events, and deletes them at the portal once stored', async t => {
  const { portal, queue, stored, methods, sent, change, left } = await setup(t)
  await change(5, 6)
  const { memberId } = portal
  const ids = portal.offlineEvents.rows.map(({ messageId }) => messageId)
  t.strictSame(await queue.drain(memberId), { memberId, connector: '', busy: false, reserved: 2, skipped: 0, stored: 2, cleared: 2, atRisk: false })
  t.match(stored, [
    { id: /^offline-[0-9a-f]{32}$/, memberId, code: 'ONCRMDEALUPDATE', data: { FIELDS: { ID: 5 } }, messageId: ids[0], userId: 1, timestamp: Number },
    { data: { FIELDS: { ID: 6 } } }
  ])
  t.not(stored[0]?.id, stored[1]?.id)
  t.equal(left(), 0)
  t.strictSame(methods(), ['list', 'get', 'clear'])
  t.match(sent[1]?.params, { clear: 0, limit: 200 })
  t.match(sent[2]?.params, { process_id: /^[0-9a-f]{32}$/, message_id: ids })
})

t.test('an empty queue takes one call', async t => {
  const { portal, queue, methods } = await setup(t)
  t.match(await queue.drain(portal.memberId), { reserved: 0, error: undefined })
  t.strictSame(methods(), ['list'])
})

t.test('drains more rows than fit one call', async t => {
  const { portal, queue, items, change, left, methods } = await setup(t)
  const all = Array.from({ length: 460 }, (_, index) => index + 1)
  await change(...all)
  t.match(await queue.drain(portal.memberId), { reserved: 460, stored: 460, cleared: 460 })
  t.strictSame(items(), all)
  t.equal(left(), 0)
  t.strictSame(methods(), ['list', 'get', 'clear', 'get', 'clear', 'get', 'clear', 'get'])
})

t.test('drains a portal that caps pages at fifty', async t => {
  const { portal, spied, open, items, change, left } = await setup(t)
  await change(...Array.from({ length: 120 }, (_, index) => index + 1))
  const call = async <T>(memberId: string, method: string, params: object = {}, options = {}) => (
    await spied.call<T>(memberId, method, method === 'event.offline.get' ? { ...params, limit: 50 } : params, options)
  )
  t.match(await open({ rest: { call } }).drain(portal.memberId), { stored: 120, cleared: 120 })
  t.equal(items().length, 120)
  t.equal(left(), 0)
})

t.test('a change while its row is reserved creates another event', async t => {
  const { portal, open, stored, items, left } = await setup(t)
  await portal.change(DEAL, 5)
  let isFirst = true
  const queue = open({
    store: async event => {
      stored.push(event)
      if (isFirst) await portal.change(DEAL, 5)
      isFirst = false
    }
  })
  await queue.drain(portal.memberId)
  await queue.drain(portal.memberId)
  t.strictSame(items(), [5, 5])
  t.equal(stored[0]?.messageId, stored[1]?.messageId, 'Bitrix24 has one id for both')
  t.not(stored[0]?.id, stored[1]?.id)
  t.equal(left(), 0)
})

t.test('merges a hundred changes of one item into one event', async t => {
  const { portal, queue, items, change } = await setup(t)
  for (let n = 0; n < 100; n++) await change(5)
  t.match(await queue.drain(portal.memberId), { reserved: 1 })
  t.strictSame(items(), [5])
})

t.test('deletes exactly the stored rows', async t => {
  const { portal, open, stored, items, left, change } = await setup(t)
  await change(1, 2, 3)
  const failing = open({
    store: async event => {
      if ((event.data as { FIELDS: { ID: number } }).FIELDS.ID === 2) throw storeUnavailable(new Error('away'))
      stored.push(event)
    }
  })
  t.match(await failing.drain(portal.memberId), { reserved: 3, stored: 2, cleared: 2, error: { code: 'FST_B24_STORE_UNAVAILABLE' } })
  t.equal(left(), 1)
  t.match(await open().drain(portal.memberId), { reserved: 1, stored: 1, cleared: 1 })
  t.strictSame(items(), [1, 3, 2])
})

t.test('deletes nothing when nothing can be stored: never sends an empty list of ids', async t => {
  const { portal, open, change, left, methods } = await setup(t)
  await change(1, 2)
  t.match(await open({ store: async () => { throw storeUnavailable(new Error('away')) } }).drain(portal.memberId), { reserved: 2, stored: 0, cleared: 0, error: {} })
  t.equal(left(), 2)
  t.notOk(methods().includes('clear'))
})

t.test('recovers rows reserved by a crashed process', async t => {
  const { portal, open, queue, items, methods, change, left } = await setup(t)
  await change(1, 2)
  // Crashed before storing anything.
  portal.offlineEvents.reserve({ clientId: portal.offlineEvents.rows[0]!.clientId, connector: '' }, { filter: {}, order: {}, limit: 50, error: false })
  await change(2, 3)
  t.match(await queue.drain(portal.memberId), { reserved: 4, stored: 4, cleared: 4 })
  t.strictSame(items(), [1, 2, 2, 3])
  t.equal(left(), 0)
  t.strictSame(methods(), ['list', 'clear', 'list', 'get', 'clear'])
  t.match(await open().drain(portal.memberId), { reserved: 0 })
})

t.test('recovers rows of many crashed processes, beyond one page', async t => {
  const { portal, queue, items, change, left, clientId } = await setup(t)
  for (let n = 0; n < 3; n++) {
    await change(...Array.from({ length: 40 }, (_, index) => index + 1))
    portal.offlineEvents.reserve({ clientId, connector: '' }, { filter: {}, order: {}, limit: 200, error: false })
  }
  await change(41)
  t.match(await queue.drain(portal.memberId), { reserved: 121, cleared: 121, error: undefined })
  t.equal(new Set(items()).size, 41)
  t.equal(left(), 0)
})

t.test('a lost response to a reservation loses nothing', async t => {
  const { portal, queue, items, change, left } = await setup(t)
  await change(1, 2)
  portal.fault('event.offline.get', { answerDelayMs: 2_000, times: 1 })
  t.match(await queue.drain(portal.memberId, { signal: AbortSignal.timeout(700) }).catch(error => ({ name: error.name })), { name: 'TimeoutError' })
  t.ok(portal.offlineEvents.rows.every(({ processId }) => processId !== ''), 'reserved, as nobody knows what')
  t.match(await queue.drainNew(portal.memberId), { reserved: 2, stored: 2, cleared: 2 }, 'also quickly: the last one did not end well')
  t.strictSame(items(), [1, 2])
  t.equal(left(), 0)
})

t.test('a lost response to a deletion loses nothing; repeated events keep their id', async t => {
  const { portal, queue, stored, change, left } = await setup(t)
  await change(1)
  portal.fault('event.offline.clear', { status: 502, body: '', times: 1 })
  t.match(await queue.drain(portal.memberId), { stored: 1, cleared: 0, error: { code: 'FST_B24_PORTAL_UNAVAILABLE' } })
  t.equal(left(), 1)
  await queue.drain(portal.memberId)
  t.equal(left(), 0)
  t.equal(stored.length, 2)
  t.equal(stored[0]?.id, stored[1]?.id)
})

t.test('fetches rows marked as failed, which absorb later changes', async t => {
  const { portal, queue, items, methods, change, left, clientId } = await setup(t)
  await change(1, 2)
  const name = { clientId, connector: '' }
  const processId = portal.offlineEvents.reserve(name, { filter: {}, order: {}, limit: 50, error: false })
  portal.offlineEvents.markErrors(name, processId, portal.offlineEvents.rows.map(({ messageId }) => messageId))
  await change(1, 3)
  t.equal(left(), 3, 'the change of 1 is in an error row')
  t.match(await queue.drain(portal.memberId), { reserved: 3, stored: 3, cleared: 3 })
  t.strictSame(items(), [3, 2, 1])
  t.equal(left(), 0)
  t.strictSame(methods(), ['list', 'get', 'clear', 'get', 'clear'])
})

t.test('a drain after a notification takes fewer calls once the queue was recovered', async t => {
  const { portal, queue, methods, sent, change } = await setup(t)
  await queue.drainNew(portal.memberId)
  t.strictSame(methods(), ['list'], 'not known yet')
  sent.length = 0
  await change(1)
  await queue.drainNew(portal.memberId)
  t.strictSame(methods(), ['get', 'clear'])
})

t.test('a queue with a name', async t => {
  const { portal, queue, open, sent, items, bind, change, left } = await setup(t)
  bind('ONCRMDEALUPDATE', 'mine')
  await change(1)
  t.equal(left(), 2)
  t.match(await queue.drain(portal.memberId, { connector: 'mine' }), { connector: 'mine', cleared: 1 })
  t.ok(sent.every(({ params }) => params['auth_connector'] === 'mine'))
  t.match(await open({ connector: 'mine' }).drain(portal.memberId), { connector: 'mine', reserved: 0 })
  t.match(await queue.drain(portal.memberId), { connector: '', cleared: 1 })
  t.strictSame(items(), [1, 1])
})

t.test('one drain at a time', async t => {
  const { portal, queue, open, change, items } = await setup(t)
  await change(1)
  portal.fault('event.offline.list', { delayMs: 300, times: 1 })
  const first = queue.drain(portal.memberId)
  await until(() => portal.calls.length === 1, 'the first is at work')
  t.match(await open().drain(portal.memberId), { busy: true, reserved: 0 })
  t.match(await open().drain(portal.memberId, { connector: 'mine' }), { busy: false, error: undefined }, 'another queue is another matter')
  t.match(await first, { busy: false, stored: 1 })
  t.match(await open().drain(portal.memberId), { busy: false }, 'it is free again')
  t.strictSame(items(), [1])
})

t.test('a process that lost the lock stops', async t => {
  const { portal, open, change, left } = await setup(t)
  await change(1)
  const locks: Locks = { take: async () => ({ renew: async () => false, release: async () => {} }) }
  t.match(await open({ locks }).drain(portal.memberId), { busy: true, reserved: 0, error: undefined })
  t.equal(left(), 1)
})

t.test('a store outage is detected before the portal is called', async t => {
  const { portal, open, change, sent } = await setup(t)
  await change(1)
  const away = async () => { throw storeUnavailable(new Error('away')) }
  t.match(await open({ locks: { take: away } }).drain(portal.memberId), { error: { code: 'FST_B24_STORE_UNAVAILABLE' } })
  t.match(await open({ locks: { take: async () => ({ renew: away, release: async () => {} }) } }).drain(portal.memberId), { error: { code: 'FST_B24_STORE_UNAVAILABLE' } })
  t.strictSame(sent, [])
})

t.test('a plan without reservations', async t => {
  const { portal, queue, items, logs, sent, change, left, methods } = await setup(t)
  portal.features.delete('rest_offline_extended')
  await change(...Array.from({ length: 25 }, (_, index) => index + 1))
  t.match(await queue.drain(portal.memberId), { reserved: 25, skipped: 0, stored: 25, cleared: 25, atRisk: true, error: undefined })
  t.equal(new Set(items()).size, 25)
  t.equal(left(), 0)
  t.strictSame(methods(), ['list', 'get', 'get', 'get', 'get'])
  t.ok(sent.slice(2).every(({ params }) => params['clear'] === 1 && params['limit'] === 10), 'little at a time: that is what one lost answer costs')
  await change(1)
  t.match(await queue.drain(portal.memberId), { atRisk: true, stored: 1 })
  t.strictSame(logs.length, 1, 'told once')
})

t.test('a plan without reservations: fetches failed rows too', async t => {
  const { portal, queue, items, change, left, clientId } = await setup(t)
  await change(1)
  const name = { clientId, connector: '' }
  const processId = portal.offlineEvents.reserve(name, { filter: {}, order: {}, limit: 50, error: false })
  portal.offlineEvents.markErrors(name, processId, portal.offlineEvents.rows.map(({ messageId }) => messageId))
  portal.features.delete('rest_offline_extended')
  t.match(await queue.drain(portal.memberId), { stored: 1, cleared: 1, atRisk: true })
  t.strictSame(items(), [1])
  t.equal(left(), 0)
})

t.test('a plan without reservations: retries storing deleted rows', async t => {
  const { portal, open, stored, items, change } = await setup(t)
  portal.features.delete('rest_offline_extended')
  await change(1, 2)
  let failures = 3
  const queue = open({
    store: async event => {
      if (failures-- > 0) throw storeUnavailable(new Error('away'))
      stored.push(event)
    }
  })
  t.match(await queue.drain(portal.memberId), { stored: 2, error: undefined })
  t.strictSame(items().sort(), [1, 2])
})

t.test('a plan without reservations: what is over the share of its portal waits for room, and no more is fetched', async t => {
  const { portal, open, stored, items, change, left } = await setup(t)
  portal.features.delete('rest_offline_extended')
  await change(...Array.from({ length: 15 }, (_, index) => index + 1))
  let hasRoom = false
  const queue = open({
    store: async event => {
      if (!hasRoom) throw new FST_B24_PORTAL_QUOTA(event.memberId)
      stored.push(event)
    },
    times: { storeRetryMs: 1 }
  })
  const draining = queue.drain(portal.memberId)
  await sleep(500)
  t.equal(left(), 5)
  hasRoom = true
  t.match(await draining, { stored: 15, error: undefined })
  t.equal(new Set(items()).size, 15)
})

t.test('a plan without reservations: logs lost events with their data', async t => {
  const { portal, open, change, logs } = await setup(t)
  portal.features.delete('rest_offline_extended')
  await change(7)
  const queue = open({ store: async () => { throw storeUnavailable(new Error('away')) }, times: { storeRetryMs: 100 } })
  t.match(await queue.drain(portal.memberId), { reserved: 1, stored: 0, error: { code: 'FST_B24_STORE_UNAVAILABLE' } })
  t.match(logs[0], [{ code: 'ONCRMDEALUPDATE', data: { FIELDS: { ID: 7 } } }, /event lost/])
  await change(8)
  await t.rejects(queue.drain(portal.memberId, { signal: AbortSignal.abort(new Error('closing')) }), { message: 'closing' })
  t.equal(portal.offlineEvents.rows.length, 1, 'nothing is begun any more')
})

t.test('requires admin rights, whose lack does not suspend the portal', async t => {
  const { portal, world, queue, change, left } = await setup(t)
  await change(1)
  portal.user(1, { admin: false })
  t.match(await queue.drain(portal.memberId), { reserved: 0, error: { code: 'ACCESS_DENIED' } })
  t.equal(left(), 1)
  t.match(await world.record(portal), { state: 'active' })
  t.strictSame(world.reported, [])
})

t.test('waits for a rate-limited portal', async t => {
  const { portal, spied, open, items, change, left } = await setup(t)
  await change(1)
  const failures = [50, 50, 60_000]
  const call = async <T>(...[memberId, method, params, options]: Parameters<typeof spied.call>) => {
    const retryAfterMs = method === 'event.offline.clear' ? failures.shift() : undefined
    if (retryAfterMs !== undefined) throw Object.assign(new Error('busy'), { code: 'FST_B24_PORTAL_LIMIT', portalCode: 'OPERATION_TIME_LIMIT', retryAfterMs })
    return await spied.call<T>(memberId, method, params, options)
  }
  const start = performance.now()
  t.match(await open({ rest: { call } }).drain(portal.memberId), { stored: 1, cleared: 0, error: { code: 'OPERATION_TIME_LIMIT' } }, 'but not for a minute')
  t.ok(performance.now() - start >= 95)
  t.equal(left(), 1)
  t.match(await open({ rest: { call } }).drain(portal.memberId), { cleared: 1 })
  t.strictSame(items(), [1, 1])
})

t.test('parses everything a portal may write', async t => {
  const { portal, open, stored, logs } = await setup(t)
  const rows = [
    { ID: '1', TIMESTAMP_X: '2026-07-18T12:32:31+02:00', EVENT_NAME: 'onCrmLeadAdd', EVENT_DATA: { FIELDS: { ID: '25' } }, EVENT_ADDITIONAL: { user_id: 0 }, MESSAGE_ID: 'a'.repeat(32) },
    { ID: 2, TIMESTAMP_X: 'soon', EVENT_NAME: 'ONAPPTEST', EVENT_DATA: false, EVENT_ADDITIONAL: false, MESSAGE_ID: 'b'.repeat(32) },
    { ID: 3, EVENT_NAME: 'ONAPPTEST', EVENT_DATA: null, EVENT_ADDITIONAL: { user_id: 'x' }, MESSAGE_ID: 'short' },
    { ID: 4, EVENT_NAME: 'ONAPPTEST', EVENT_DATA: JSON.parse('{"__proto__":{"a":1}}'), EVENT_ADDITIONAL: null },
    { ID: 5, EVENT_NAME: 'ONAPPTEST', EVENT_DATA: { TEXT: 'x'.repeat(300_000) }, EVENT_ADDITIONAL: null },
    null
  ]
  const sent: object[] = []
  const answers: Record<string, unknown[]> = { 'event.offline.list': [[{}], [{}]], 'event.offline.get': [{ process_id: 'p', events: rows }, { events: rows }], 'event.offline.clear': [true, true] }
  const rest = { call: async (_memberId: string, method: string, params?: object) => { sent.push({ ...params }); return answers[method]?.shift() as never } }
  t.match(await open({ rest }).drain(portal.memberId), { reserved: 6, skipped: 1, stored: 5, cleared: 5 })
  t.strictSame(stored.map(({ code, userId, timestamp, data }) => ({ code, userId, timestamp, data: data === undefined ? undefined : JSON.parse(JSON.stringify(data)) })), [
    { code: 'ONCRMLEADADD', userId: undefined, timestamp: Date.parse('2026-07-18T10:32:31Z'), data: { FIELDS: { ID: '25' } } },
    ...Array(4).fill({ code: 'ONAPPTEST', userId: undefined, timestamp: undefined, data: undefined })
  ])
  t.match(sent.slice(-2), [{ process_id: 'p', message_id: ['a'.repeat(32), 'b'.repeat(32)] }, { process_id: 'p', id: ['3', '4', '5'] }], 'by row where a message id would be refused')
  t.match(logs, [[{ code: 'ONAPPTEST' }, /data exceeded limits/], [{ code: 'ONAPPTEST' }, /data exceeded limits/], [{ rowId: '' }, /an invalid row/]], 'what was left out is told')
  t.match(await open({ rest }).drain(portal.memberId), { stored: 0, error: { code: 'FST_B24_PORTAL_UNAVAILABLE' } }, 'a batch without a name is never cleared')
  t.match(await open({ rest: { call: async () => undefined as never } }).drain(portal.memberId), { stored: 0, error: undefined }, 'nothing')
})

t.test('does not recover undeletable rows forever', async t => {
  const { portal, open, change, stored, spied, clientId } = await setup(t)
  await change(1)
  portal.offlineEvents.reserve({ clientId, connector: '' }, { filter: {}, order: {}, limit: 50, error: false })
  const call = async <T>(...[memberId, method, params, options]: Parameters<typeof spied.call>) => method === 'event.offline.clear' ? true as never : await spied.call<T>(memberId, method, params, options)
  t.match(await open({ rest: { call } }).drain(portal.memberId), { stored: 1 })
  t.equal(stored.length, 1)
})

// Malformed values in a row.
const ODD: Array<[what: string, changes: Record<string, unknown>, skipped: boolean]> = [
  ['a name that is none', { EVENT_NAME: 'ON CRM; DROP' }, true],
  ['a name of 100 KB', { EVENT_NAME: 'A'.repeat(100_000) }, true],
  ['no name', { EVENT_NAME: '' }, true],
  ['a map as name', { EVENT_NAME: { toString: 1 } }, true],
  ['a list as name', { EVENT_NAME: ['ONCRMDEALUPDATE'] }, true],
  ['no message', { MESSAGE_ID: { toString: 1 } }, false],
  ['a short message', { MESSAGE_ID: 'x' }, false],
  ['no number', { ID: { toString: 1 } }, false],
  ['a map as time', { TIMESTAMP_X: { toString: 1 } }, false],
  ['a map as user', { EVENT_ADDITIONAL: { user_id: { toString: 1 } } }, false]
]

for (const [what, changes, skipped] of ODD) {
  t.test(`a row with ${what} does not stop the drain or come again`, async t => {
    const { portal, spied, open, stored, logs, change, left } = await setup(t)
    await change(1, 2, 3)
    const call = async <T>(memberId: string, method: string, params: object = {}, options = {}) => {
      const result = await spied.call<{ events: Array<Record<string, unknown>> }>(memberId, method, params, options)
      if (method === 'event.offline.get' && result.events[1] !== undefined) Object.assign(result.events[1], changes)
      return result as T
    }
    const queue = open({ rest: { call } })
    t.match(await queue.drain(portal.memberId), { reserved: 3, skipped: skipped ? 1 : 0, stored: skipped ? 2 : 3, cleared: 3, error: undefined })
    t.equal(stored.length, skipped ? 2 : 3)
    t.equal(left(), 0)
    t.strictSame(logs.map(([, message]) => message), skipped ? ['skipped an invalid row of the offline queue'] : [])
    t.notOk(JSON.stringify(logs).length > 1_000)
    t.match(await queue.drain(portal.memberId), { reserved: 0 })
  })
}

t.test('logs a row without any id once, and leaves it at the portal', async t => {
  const { portal, spied, open, stored, logs, change } = await setup(t)
  await change(1, 2)
  const call = async <T>(memberId: string, method: string, params: object = {}, options = {}) => {
    const result = await spied.call<unknown>(memberId, method, params, options)
    const rows = method === 'event.offline.list' ? result as unknown[] : method === 'event.offline.get' ? (result as { events: unknown[] }).events : []
    for (const row of rows as Array<Record<string, unknown>>) if ((row['EVENT_DATA'] as { FIELDS: { ID: number } }).FIELDS.ID === 2) Object.assign(row, { ID: null, MESSAGE_ID: 5, EVENT_NAME: 7 })
    return result as T
  }
  const queue = open({ rest: { call } })
  for (const skipped of [1, 1]) t.match(await queue.drain(portal.memberId), { skipped, error: undefined })
  t.equal(stored.length, 1)
  t.equal(logs.length, 1)
})

t.test('malformed rows do not stop the drain', async t => {
  const { portal, spied, open, stored, change } = await setup(t)
  await change(1)
  const call = async <T>(memberId: string, method: string, params: object = {}, options = {}) => {
    const result = await spied.call<{ events: unknown[] }>(memberId, method, params, options)
    if (method === 'event.offline.get') result.events.push(null, 5, 'text', [], { toString: 1 })
    return result as T
  }
  t.match(await open({ rest: { call } }).drain(portal.memberId), { reserved: 6, skipped: 5, stored: 1, cleared: 1, error: undefined })
  t.equal(stored.length, 1)
})

t.test('stops at a portal that repeats the same rows', async t => {
  const { portal, spied, open, stored, change } = await setup(t)
  await change(...Array.from({ length: 60 }, (_, index) => index + 1))
  let first: unknown
  const call = async <T>(memberId: string, method: string, params: object = {}, options = {}) => {
    const result = await spied.call<unknown>(memberId, method, params, options)
    if (method === 'event.offline.get') return (first ??= result) as T
    return result as T
  }
  t.match(await open({ rest: { call } }).drain(portal.memberId), { error: { message: /same events again/ } })
  t.equal(stored.length, 60)
})
