import { inspect } from 'node:util'
import t from 'tap'
import { createEvent } from '../../src/events/event.ts'
import type { Envelope } from '../../src/wire/envelope.ts'
import { secret } from '../helpers/secrets.ts'

const token = secret()
const body = (more: object = {}): Envelope => ({
  event: 'ONCRMDYNAMICITEMUPDATE_147',
  event_handler_id: '58',
  data: { FIELDS: { ID: '24', ENTITY_TYPE_ID: '147' } },
  ts: '1727018926',
  auth: { member_id: 'a223c6b3', application_token: token, access_token: token, user_id: '7' },
  ...more
})

t.test('an event has what a handler needs', async t => {
  const before = Date.now()
  const { event, mismatches } = createEvent(body())
  t.equal(mismatches, 0)
  t.match(event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.ok(event.receivedAt >= before && event.receivedAt <= Date.now())
  t.match({ ...event }, {
    name: 'onCrmDynamicItemUpdate',
    code: 'ONCRMDYNAMICITEMUPDATE_147',
    data: { FIELDS: { ID: 24, ENTITY_TYPE_ID: 147 } },
    handlerId: 58,
    sentAt: 1727018926000,
    attempt: 1,
    coalesced: 1,
    userId: 7
  })
  t.not(createEvent(body()).event.id, event.id)
})

t.test('given metadata of an event is used', async t => {
  const { event } = createEvent(body(), { id: 'one', receivedAt: 5, attempt: 3, coalesced: 12 })
  t.match({ ...event }, { id: 'one', receivedAt: 5, attempt: 3, coalesced: 12 })
})

t.test('accepts JSON numbers in place of strings', async t => {
  const { event } = createEvent(body({ event_handler_id: 58, ts: 1727018926, auth: { member_id: 'm', user_id: 7 } }))
  t.match({ ...event }, { handlerId: 58, sentAt: 1727018926000, userId: 7 })
})

t.test('absent and invalid numbers are undefined', async t => {
  for (const value of [undefined, '', 'x', '1.5']) {
    const { event } = createEvent(body({ event_handler_id: value, ts: value, auth: { member_id: 'm', user_id: value } }))
    t.strictSame([event.handlerId, event.sentAt, event.userId], [undefined, undefined, undefined], `${value}`)
  }
})

t.test('an undocumented event has its code as name, and its data as sent', async t => {
  const { event, mismatches } = createEvent(body({ event: 'onSomethingNew' }))
  t.equal(mismatches, 0)
  t.match({ ...event }, { name: 'ONSOMETHINGNEW', code: 'ONSOMETHINGNEW', data: { FIELDS: { ID: '24' } } })
})

t.test('mismatching fields are counted', async t => {
  const { event, mismatches } = createEvent(body({ data: { FIELDS: { ID: 'x', ENTITY_TYPE_ID: '147' } } }))
  t.equal(mismatches, 1)
  t.strictSame(event.data, { FIELDS: { ID: 'x', ENTITY_TYPE_ID: 147 } })
})

t.test('raw is the body without its secrets', async t => {
  const { event } = createEvent(body())
  t.same(event.raw, { ...body(), auth: { member_id: 'a223c6b3', user_id: '7' } })
  t.equal(event.raw, event.raw)
})

t.test('a logged event shows no secret', async t => {
  const { event } = createEvent(body({ event: 'ONAPPUSERREADY', data: { access_token: token, refresh_token: token, user_id: '512' } }))
  t.equal((event.data as { access_token?: string }).access_token, token)
  for (const shown of [JSON.stringify(event), JSON.stringify(event.raw), inspect(event, { depth: 9 }), inspect(event.raw), JSON.stringify({ ...event })]) {
    t.notMatch(shown, token)
    t.match(shown, '512')
  }
})

t.test('reads the binding id from eventId, as in seven documented samples', async t => {
  const body = { event: 'ONTASKADD', auth: { member_id: 'm' } }
  const ids: Array<[fields: object, id: number | undefined]> = [
    [{ eventId: '321' }, 321], [{ eventId: 321 }, 321], [{ event_handler_id: '58', eventId: '321' }, 58], [{ event_handler_id: '', eventId: '321' }, 321], [{ eventId: '' }, undefined], [{}, undefined]
  ]
  for (const [fields, id] of ids) t.equal(createEvent({ ...body, ...fields }).event.handlerId, id, JSON.stringify(fields))
})

t.test('has the fields of auth except for the tokens', async t => {
  const token = 'canary'
  const { event } = createEvent({
    event: 'ONTASKADD',
    auth: {
      member_id: 'm',
      domain: 'acme.bitrix24.com',
      scope: 'crm, task placement',
      status: 'L',
      user_id: '7',
      client_endpoint: 'https://acme.bitrix24.com/rest/',
      server_endpoint: 'https://oauth.bitrix24.tech/rest/',
      access_token: token,
      refresh_token: token,
      application_token: token
    }
  })
  t.strictSame({ ...event.auth }, {
    memberId: 'm',
    domain: 'acme.bitrix24.com',
    scope: ['crm', 'task', 'placement'],
    status: 'L',
    userId: 7,
    clientEndpoint: 'https://acme.bitrix24.com/rest/',
    serverEndpoint: 'https://oauth.bitrix24.tech/rest/'
  })
  t.notMatch(JSON.stringify([event, event.raw, event.auth]), token)
  t.strictSame({ ...createEvent({ event: 'ONTASKADD', auth: { member_id: 'm' } }).event.auth }, {
    memberId: 'm', domain: undefined, scope: undefined, status: undefined, userId: undefined, clientEndpoint: undefined, serverEndpoint: undefined
  })
})

t.test('a URL with a credential is not logged with an event', async t => {
  const { event } = createEvent({ event: 'ONUNKNOWN', data: { file: 'https://acme.bitrix24.com/disk/?auth=canary&id=5', id: '5' }, auth: { member_id: 'm' } })
  t.equal((event.data as { file: string }).file, 'https://acme.bitrix24.com/disk/?auth=canary&id=5', 'handlers can use it')
  t.notMatch(JSON.stringify([event, event.raw]), 'canary')
})
