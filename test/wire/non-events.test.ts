import t from 'tap'
import { isPageRequest, readPageRequest } from '../../src/wire/non-events.ts'

t.test('distinguishes page requests from events', async t => {
  t.ok(isPageRequest({ AUTH_ID: 'x', member_id: 'a' }))
  t.ok(isPageRequest({ PLACEMENT: 'DEFAULT' }))
  for (const body of [null, 'AUTH_ID', [], {}, { member_id: 'a' }, { event: 'ONAPPINSTALL', AUTH_ID: 'x' }, { workflow_id: '1' }]) {
    t.notOk(isPageRequest(body), JSON.stringify(body))
  }
})

t.test('reads the needed fields, and no invalid token', async t => {
  const body = { member_id: 'a', AUTH_ID: 'access', REFRESH_ID: 'refresh', SERVER_ENDPOINT: 'https://oauth.example/rest/', APPLICATION_TOKEN: 'token', status: 'F' }
  t.strictSame(readPageRequest(body), {
    memberId: 'a', accessToken: 'access', refreshToken: 'refresh', serverEndpoint: 'https://oauth.example/rest/', applicationToken: 'token'
  })
  for (const token of [undefined, '', { a: 'b' }, 'x'.repeat(513)]) t.equal(readPageRequest({ ...body, APPLICATION_TOKEN: token })?.applicationToken, undefined)
  for (const memberId of [undefined, '', 'a b', { a: 'b' }, 'a'.repeat(65)]) t.equal(readPageRequest({ ...body, member_id: memberId }), undefined)
})
