import t, { type Test } from 'tap'
import { isPermanent, outcomeOfErrors } from '../../src/delivery/dispatch.ts'
import * as errors from '../../src/errors.ts'
import type { HandlerContext } from '../../src/index.ts'
import { callError, limitError } from '../../src/portal/rest/call-error.ts'
import { buildWorld } from '../helpers/app.ts'
import { secret } from '../helpers/secrets.ts'

async function installedWorld (t: Test, options: Parameters<typeof buildWorld>[1] = {}) {
  const world = await buildWorld(t, { ...options, delivery: { mode: 'inline', ...options.delivery } })
  const portal = world.b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(world.eventsUrl)).statusCode, 200)
  const failures: unknown[] = []
  world.app.bitrix24.addHook('onHandlerError', ({ error, event }) => { failures.push([event?.name, error.message]) })
  return { ...world, portal, failures, sendDeal: () => portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } }) }
}

t.test('a handler receives the event, its portal and a logger bound to both', async t => {
  const { app, sendDeal, logs, portal } = await installedWorld(t)
  let seen: unknown
  app.bitrix24.on('onCrmDealAdd', (event, { portal, log, signal }) => {
    log.info('at work')
    seen = { id: event.data.FIELDS.ID, domain: portal.domain, aborted: signal.aborted, user: event.userId, handler: typeof event.handlerId }
  })
  t.equal((await sendDeal()).statusCode, 200)
  t.strictSame(seen, { id: 7, domain: portal.domain, aborted: false, user: 1, handler: 'number' })
  t.match(JSON.parse(logs.find(line => line.includes('at work')) ?? ''), { code: 'ONCRMDEALADD', portal: portal.domain, plugin: undefined })
})

t.test('a failing handler is logged, reported and answered with 500, and does not affect others', async t => {
  const { app, sendDeal, failures, logs } = await installedWorld(t)
  const ran: string[] = []
  app.bitrix24.on('onCrmDealAdd', () => { ran.push('first'); throw new Error('first failed') })
  app.bitrix24.on('onCrmDealAdd', async () => { ran.push('second') })
  const { statusCode, body } = await sendDeal()
  t.equal(statusCode, 500)
  t.strictSame(JSON.parse(body), { statusCode: 500, code: 'FST_B24_HANDLER_FAILED', error: 'Internal Server Error', message: 'A handler failed' })
  t.strictSame(ran, ['first', 'second'])
  t.strictSame(failures, [['onCrmDealAdd', 'first failed']])
  t.ok(logs.some(line => line.includes('first failed')))

  app.bitrix24.on('onCrmDealAdd', async () => { throw new Error('third failed') })
  app.bitrix24.on('onCrmDealAdd', () => rejectWithText())
  t.equal((await sendDeal()).statusCode, 500)
  t.strictSame(failures.slice(1), [['onCrmDealAdd', 'first failed'], ['onCrmDealAdd', 'third failed'], ['onCrmDealAdd', "'no error object'"]])
  t.match(await app.bitrix24.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 }, events: { accepted: 1, handled: 1, unavailable: 2, rejected: 0, stale: 0 } })
})

t.test('a handler that never returns fails at its time limit, and its signal aborts', async t => {
  const { app, sendDeal, failures } = await installedWorld(t, { delivery: { handlerTimeoutMs: 50 } })
  let reason: unknown
  app.bitrix24.on('onCrmDealAdd', async (_event, { signal }) => {
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    reason = signal.reason
    await new Promise(() => {})
  })
  t.equal((await sendDeal()).statusCode, 500)
  t.match(reason, { code: 'FST_B24_HANDLER_TIMEOUT' })
  t.match(failures, [['onCrmDealAdd', /50 ms/]])
})

t.test('a signal that is first read after the limit is already aborted', async t => {
  const { app, sendDeal } = await installedWorld(t, { delivery: { handlerTimeoutMs: 20 } })
  const late = new Promise<boolean>(resolve => {
    app.bitrix24.on('onCrmDealAdd', async (_event, context: HandlerContext) => {
      await new Promise(resolve => setTimeout(resolve, 60))
      resolve(context.signal.aborted)
    })
  })
  t.equal((await sendDeal()).statusCode, 500)
  t.equal(await late, true)
})

t.test('closing aborts running handlers, starts no further ones, and answers with 503', async t => {
  const { app, sendDeal } = await installedWorld(t)
  const ran: string[] = []
  app.bitrix24.on('onCrmDealAdd', async (_event, { signal }) => {
    ran.push('first')
    setImmediate(() => { app.close() })
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    throw signal.reason
  })
  app.bitrix24.on('onCrmDealAdd', async () => { ran.push('second') })
  const delivery = await sendDeal()
  t.equal(delivery.statusCode, 503)
  t.match(delivery.json(), { code: 'FST_B24_CLOSING' })
  t.strictSame(ran, ['first'])
})

t.test('a failing onHandlerError does not affect others', async t => {
  const { app, sendDeal, failures, logs } = await installedWorld(t)
  app.bitrix24.addHook('onHandlerError', () => { throw new Error('hook failed') })
  const last: unknown[] = []
  app.bitrix24.addHook('onHandlerError', ({ error }) => { last.push(error.message) })
  app.bitrix24.on('onCrmDealAdd', () => throwBare())
  t.equal((await sendDeal()).statusCode, 500)
  t.match(failures, [['onCrmDealAdd', /null prototype/]], 'whatever a handler throws')
  t.match(last, [/null prototype/])
  t.ok(logs.some(line => line.includes('hook failed')))
})

t.test('a filter keeps other events from a handler', async t => {
  const { app, portal } = await installedWorld(t)
  const heard: number[] = []
  app.bitrix24.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: 1220 }, event => { heard.push(event.data.FIELDS.ID) })
  for (const [ID, ENTITY_TYPE_ID] of [[1, 31], [2, 1220]]) {
    t.equal((await portal.send('onCrmDynamicItemUpdate', { FIELDS: { ID, ENTITY_TYPE_ID } })).statusCode, 200)
  }
  t.strictSame(heard, [2])
})

t.test('an outgoing webhook is verified by its token', async t => {
  const applicationToken = secret()
  const memberId = 'b'.repeat(32)
  const { app, b24, eventsUrl } = await installedWorld(t, { webhooks: [{ memberId, applicationToken }] })
  const heard: unknown[] = []
  app.bitrix24.on('onCrmDealAdd', (_event, { portal }) => { heard.push({ ...portal, scope: portal.scope, userId: portal.userId, installedAt: portal.installedAt }) })
  const webhook = b24.portal('hooks.bitrix24.com').webhook(eventsUrl, applicationToken)
  t.equal((await webhook.send('onCrmDealAdd', { FIELDS: { ID: 7 } }, { auth: { member_id: memberId } })).statusCode, 200)
  t.equal((await webhook.send('onCrmDealAdd', { FIELDS: { ID: 7 } }, { auth: { member_id: memberId, domain: null } })).statusCode, 200)
  t.strictSame(heard, ['hooks.bitrix24.com', ''].map(domain => ({ memberId, domain, state: 'webhook', scope: [], userId: undefined, installedAt: undefined })))
  t.equal((await webhook.send('onCrmDealAdd', { FIELDS: { ID: 7 } })).statusCode, 403, 'another portal')
  t.equal((await webhook.send('onCrmDealAdd', { FIELDS: { ID: 7 } }, { auth: { member_id: memberId, application_token: null } })).statusCode, 403, 'no token')
})

/** Throws a value that cannot be converted to a string. */
function throwBare (): never {
  const bare: unknown = Object.create(null)
  throw bare
}

/** Rejects with a value that is not an error, like careless code. */
async function rejectWithText (): Promise<never> {
  const text: unknown = 'no error object'
  throw text
}

const stated = (code: string) => callError('crm.item.get', { status: 400, code, description: 'Why' })
const gaveUp = new errors.FST_B24_GIVE_UP('this app knows no such deal')
const passing = new Error('may pass')
const limit = limitError('profile', 'OVERLOAD_LIMIT', 60_000)

t.test('a permanent failure is a dead letter at once, unless another handler may still succeed', async t => {
  const cases: Array<[what: string, failures: Error[], status: string]> = [
    ['a handler that gives up', [gaveUp], 'dead'],
    ['an unknown method', [stated('ERROR_METHOD_NOT_FOUND')], 'dead'],
    ['an unknown method of REST 3', [stated('BITRIX_REST_V3_EXCEPTION_METHODNOTFOUNDEXCEPTION')], 'dead'],
    ['a missing scope', [stated('insufficient_scope')], 'dead'],
    ['an answer that is too large', [new errors.FST_B24_ANSWER_TOO_LARGE('crm.item.list', '1 bytes')], 'dead'],
    ['two that give up', [gaveUp, stated('INSUFFICIENT_SCOPE')], 'dead'],
    ['one that gives up and one that may succeed', [gaveUp, passing], 'failed'],
    ['one that gives up and one that waits', [gaveUp, limit], 'later'],
    ['one that waits and one that may succeed', [limit, passing], 'failed'],
    ['a portal that was blocked', [limit], 'later'],
    ['an item that is gone', [stated('')], 'failed'],
    ['any other error', [passing], 'failed']
  ]
  for (const [what, failures, status] of cases) t.match(outcomeOfErrors(failures, Date.now()), { status }, what)
  t.match(outcomeOfErrors([gaveUp], Date.now()), { error: { code: 'FST_B24_GIVE_UP', message: 'this app knows no such deal' } })
  t.match(outcomeOfErrors([limit], Date.now() - 25 * 60 * 60 * 1000), { status: 'failed' }, 'nothing waits for more than a day')
  t.notOk(isPermanent(limit))
})
