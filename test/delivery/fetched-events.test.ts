import t from 'tap'
import { FetchedEventQueue, openOffline } from '../../src/delivery/fetched-events.ts'
import type { HandlerContext } from '../../src/delivery/run-handler.ts'
import { payloadOf, fromQueuedEvent } from '../../src/delivery/inbound-event.ts'
import { createEvent } from '../../src/events/event.ts'
import { HandlerRegistry } from '../../src/events/handlers.ts'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import type { OfflineEvent } from '../../src/portal/offline/offline-event.ts'
import type { SubscriptionOptions } from '../../src/portal/subscriptions/wanted-events.ts'
import type { QueuedEvent } from '../../src/storage/queued-event.ts'
import { secret } from '../helpers/secrets.ts'
import { until } from '../helpers/until.ts'

const EVENT: OfflineEvent = {
  id: 'offline-1', memberId: 'm', code: 'ONCRMDYNAMICITEMUPDATE_1220', data: { FIELDS: { ID: 24, ENTITY_TYPE_ID: '1220' } }, isTruncated: false, messageId: 'a'.repeat(32), userId: 7, timestamp: 1_700_000_000_000
}

function setup (coalesce = true) {
  const queued: QueuedEvent[] = []
  const handlers = new HandlerRegistry<HandlerContext>({ warn: () => {} })
  const encryptor = createEncryptor([], secret(), 'local.x')
  const queue = { add: async (event: QueuedEvent) => { queued.push(event) } }
  return { queued, handlers, encryptor, queue, writer: new FetchedEventQueue({ queue, encryptor, handlers, coalesce }) }
}

t.test('queues fetched events like received ones', async t => {
  const { queued, encryptor, writer } = setup()
  await writer.enqueue(EVENT)
  const [event] = queued as [QueuedEvent]
  t.match(event, { id: 'offline-1', memberId: 'm', code: EVENT.code, key: 'dynamic:1220:24', coalesce: true, receivedAt: Number })
  const { envelope } = fromQueuedEvent(event, payloadOf(event)!, encryptor)
  t.match(createEvent(envelope).event, {
    name: 'onCrmDynamicItemUpdate', code: EVENT.code, data: { FIELDS: { ID: 24, ENTITY_TYPE_ID: 1220 } }, userId: 7, sentAt: 1_700_000_000_000
  })
})

t.test('an event without data, user and time', async t => {
  const { queued, encryptor, writer } = setup()
  const { userId, ...event } = EVENT
  await writer.enqueue({ ...event, code: 'ONSOMETHING', data: undefined, timestamp: undefined })
  t.notOk('key' in queued[0]!)
  const { envelope } = fromQueuedEvent(queued[0]!, payloadOf(queued[0])!, encryptor)
  t.strictSame(envelope, { event: 'ONSOMETHING', auth: { member_id: 'm' } })
})

t.test('events that must not be coalesced are not', async t => {
  const { queued, handlers, writer } = setup()
  handlers.on('onCrmDynamicItemUpdate', () => {}, { coalesce: false })
  await writer.enqueue(EVENT)
  t.match(queued, [{ key: 'dynamic:1220:24', coalesce: undefined }])
  const other = setup(false)
  await other.writer.enqueue(EVENT)
  t.match(other.queued, [{ coalesce: undefined }])
})

t.test('secrets in the data are encrypted', async t => {
  const { queued, encryptor, writer } = setup()
  const token = secret()
  await writer.enqueue({ ...EVENT, code: 'ONIMBOTMESSAGEADD', data: { BOT: { 7: { access_token: token } } } })
  t.notOk(JSON.stringify(queued).includes(token))
  t.match(fromQueuedEvent(queued[0]!, payloadOf(queued[0])!, encryptor).envelope.data, { BOT: { 7: { access_token: token } } })
})

t.test('only an app with offline events handles notifications and polls portals', async t => {
  const rows: Array<[options: SubscriptionOptions, scans: boolean]> = [
    [{}, false], [{ offline: false }, false], [{ offline: [] }, false], [{ offline: ['onTaskAdd'] }, true], [{ offline: true }, true]
  ]
  for (const [options, isWatched] of rows) {
    const { handlers, encryptor, queue } = setup()
    handlers.on('onTaskAdd', () => {})
    let scans = 0
    const opened = openOffline({
      rest: { call: async () => [] as never },
      locks: { take: async () => undefined },
      store: { scan: async () => { scans++; return { installs: [] } } },
      log: { info: () => {}, warn: () => {}, error: () => {} },
      queue,
      encryptor,
      handlers,
      options,
      coalesce: true
    })
    opened.start()
    if (isWatched) await until(() => scans > 0, 'portals are looked at')
    await new Promise(setImmediate)
    t.equal(scans > 0, isWatched, JSON.stringify(options))
    await opened.close()
  }
})
