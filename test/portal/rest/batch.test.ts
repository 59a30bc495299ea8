import t, { type Test } from 'tap'
import { RestError } from '../../../src/testing/rest/rest-call.ts'
import type { Fault } from '../../../src/testing/index.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'

const time = { start: 1, finish: 2, duration: 1, processing: 1, date_start: '', date_finish: '' }

async function stageOf (t: Test) {
  const stage = await openRestStage(t)
  const portal = stage.b24.portal('acme.bitrix24.com')
  portal.items.set(2, 7, { title: 'Deal 7' })
  await stage.install(portal)
  const sent = () => portal.calls.map(({ method }) => method)
  return { ...stage, portal, sent, refreshes: () => stage.b24.requests.filter(({ path }) => path.includes('token')).length }
}

/** Builds a portal's response to a batch. */
function answered (parts: object): Fault {
  return { body: { result: { result: [], result_error: [], result_total: [], result_next: [], result_time: [], ...parts }, time } }
}

t.test('sends several calls in one request, named or as an array', async t => {
  const { rest, portal, sent } = await stageOf(t)
  const named = await rest.batch<{ me: { ID: string }, deal: { item: { title: string } } }>(portal.memberId, {
    me: ['profile'],
    deal: { method: 'crm.item.get', params: { entityTypeId: 2, id: 7 } }
  })
  t.equal(named.isSuccess, true)
  t.match(named.getData(), { me: { ID: '1' }, deal: { item: { title: 'Deal 7' } } })
  t.match(named.outcomes.deal, { status: 'succeeded', result: { item: { title: 'Deal 7' } }, total: undefined, next: undefined, time: { duration: Number } })
  t.strictSame(named.getErrorMessages(), [])
  const listed = await rest.batch<{ ID: string }>(portal.memberId, [['profile', {}], { method: 'profile' }])
  t.match(listed.outcomes, [{ status: 'succeeded', result: { ID: '1' } }, { status: 'succeeded' }])
  t.match(listed.getData(), [{ ID: '1' }, { ID: '1' }])
  t.strictSame(sent(), ['batch', 'batch'])
})

t.test('returns next and total of each call', async t => {
  const { rest, portal } = await stageOf(t)
  portal.fault('batch', answered({ result: { a: [{ ID: '1' }], b: [] }, result_total: { a: 120, b: '0' }, result_next: { a: 50 } }))
  const { outcomes } = await rest.batch(portal.memberId, { a: ['crm.deal.list'], b: ['crm.deal.list'] })
  t.match(outcomes, { a: { total: 120, next: 50 }, b: { total: 0, next: undefined, result: [] } })
})

t.test('a refused call fails with the error of a single call, whatever its code', async t => {
  const { rest, portal } = await stageOf(t)
  portal.stub('crm.deal.get', () => { throw new RestError(400, '', 'Access denied.') })
  const named = await rest.batch(portal.memberId, { a: ['crm.deal.get', { id: 5 }], b: ['profile'] }, { halt: false })
  t.equal(named.isSuccess, false)
  t.match(named.outcomes, { a: { status: 'failed', error: { code: 'FST_B24_PORTAL_CALL', portalCode: '', description: 'Access denied.' } }, b: { status: 'succeeded' } })
  t.match(named.getErrorMessages(), [/^a: crm\.deal\.get: /])
  t.match(named.getData(), { b: { ID: '1' } })
  const listed = await rest.batch(portal.memberId, [['profile'], ['crm.deal.get', { id: 5 }], ['profile']], { halt: false })
  t.equal(listed.isSuccess, false)
  t.match(listed.outcomes, [{ status: 'succeeded' }, { status: 'failed' }, { status: 'succeeded' }])
  t.match(listed.getErrorMessages(), [/^1: crm\.deal\.get: /])
  t.match(listed.getData(), [{ ID: '1' }, undefined, { ID: '1' }])
})

t.test('reports calls after a failed one as skipped', async t => {
  const { rest, portal } = await stageOf(t)
  const calls = { a: ['profile'], b: ['no.such.method'], c: ['profile'] } as const
  const halted = await rest.batch(portal.memberId, calls)
  t.match(halted.outcomes, { a: { status: 'succeeded' }, b: { status: 'failed', error: { portalCode: 'ERROR_METHOD_NOT_FOUND' } }, c: { status: 'skipped' } })
  t.equal(halted.isSuccess, false)
  t.match(Object.keys(halted.getData()), ['a'])
  const whole = await rest.batch(portal.memberId, calls, { halt: false })
  t.match(whole.outcomes, { c: { status: 'succeeded' } })
})

t.test('a response without a result for a call is not a success', async t => {
  const { rest, portal } = await stageOf(t)
  const calls = { a: ['profile'], b: ['profile'] } as const
  let lift = portal.fault('batch', answered({ result: { a: null } }))
  const forgotten = await rest.batch(portal.memberId, calls)
  t.match(forgotten.outcomes, { a: { status: 'succeeded', result: null }, b: { status: 'failed', error: { code: 'FST_B24_PORTAL_UNAVAILABLE' } } })
  lift()
  lift = portal.fault('batch', answered({ result: { a: true, b: true }, result_error: { b: 'ERROR_CORE' } }))
  t.match((await rest.batch(portal.memberId, calls)).outcomes, { a: { status: 'succeeded' }, b: { status: 'failed', error: { portalCode: 'ERROR_CORE' } } })
  lift()
  for (const result of [true, null, [], 'text']) {
    lift = portal.fault('batch', { body: { result, time } })
    await t.rejects(rest.batch(portal.memberId, calls), { code: 'FST_B24_PORTAL_UNAVAILABLE' }, JSON.stringify(result))
    lift()
  }
})

t.test('sends names and references verbatim', async t => {
  const { rest, portal } = await stageOf(t)
  const got: unknown[] = []
  portal.stub('x.take', params => { got.push(params); return true })
  await rest.batch(portal.memberId, { 'a b': ['profile'], b: ['x.take', { id: '$result[a b][ID]', on: true, off: false }] })
  t.strictSame(got, [{ id: '$result[a b][ID]', on: 'Y', off: 'N' }])
  t.strictSame(portal.calls.at(-1)?.commands, ['profile', 'x.take'])
})

t.test('renews a token that expired for every call and repeats the batch once', async t => {
  const { rest, portal, sent, refreshes } = await stageOf(t)
  const expired = { error: 'expired_token', error_description: 'The access token provided has expired.' }
  portal.fault('batch', { ...answered({ result_error: { a: expired, b: expired } }), times: 1 })
  t.equal((await rest.batch(portal.memberId, { a: ['profile'], b: ['profile'] }, { halt: false })).isSuccess, true)
  t.strictSame([sent(), refreshes()], [['batch', 'batch'], 1])
  portal.fault('batch', { ...answered({ result: { a: true }, result_error: { b: expired } }), times: 1 })
  const partly = await rest.batch(portal.memberId, { a: ['profile'], b: ['profile'] }, { halt: false })
  t.match(partly.outcomes, { a: { status: 'succeeded' }, b: { status: 'failed', error: { code: /^FST_B24_/ } } }, 'what was run is not run again')
  t.strictSame([sent().length, refreshes()], [3, 1])
})

t.test('reports a rate limit of one call as its error', async t => {
  const { rest, portal, sent } = await stageOf(t)
  portal.fault('batch', answered({ result: { a: true }, result_error: { b: { error: 'OPERATION_TIME_LIMIT' }, c: { error: 'QUERY_LIMIT_EXCEEDED' } } }))
  const { outcomes } = await rest.batch(portal.memberId, { a: ['profile'], b: ['crm.item.list'], c: ['profile'] }, { halt: false })
  t.match(outcomes, {
    b: { status: 'failed', error: { code: 'FST_B24_PORTAL_LIMIT', retryAfterMs: Number, portalCode: 'OPERATION_TIME_LIMIT' } },
    c: { status: 'failed', error: { code: 'FST_B24_PORTAL_LIMIT', retryAfterMs: Number } }
  })
  t.equal(sent().length, 1)
})

t.test('rejects an invalid batch before sending', async t => {
  const { rest, portal, sent } = await stageOf(t)
  const many = Array.from({ length: 51 }, () => ['profile'] as [string])
  const cases: Array<[calls: unknown, message: RegExp, options?: object]> = [
    [[], /has no calls/],
    [{}, /has no calls/],
    [many, /51 calls/],
    [undefined, /an object or an array of calls/],
    [{ '': ['profile'] }, /no name/],
    [[['profile?id=5']], /is not a method name/],
    [[undefined], /is not a method name/],
    [[['profile', 5]], /must be an object or an array/],
    [{ a: ['x.y', { id: null }] }, /x\.y: parameter 'id' is null/],
    [[['profile']], /no option 'isHaltOnError'/, { isHaltOnError: false }],
    [[['profile']], /'halt' of batch must be true or false/, { halt: 'no' }],
    [[['profile']], /not supported by version 3/, { halt: true, version: 3 }]
  ]
  for (const [calls, message, options] of cases) {
    await t.rejects(rest.batch(portal.memberId, calls as never, options), { code: 'FST_B24_INVALID_CALL', message }, String(message))
  }
  t.equal(sent().length, 0)
})
