import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Portals } from '../../src/portal/portal.ts'
import { loadSdk } from '../../src/portal/rest/sdk.ts'
import { openRestStage } from '../helpers/rest-stage.ts'

/** A portal with a fixed response that records requests. */
async function portalOf (t: Test, answer: { status?: number, body: object } = { body: { result: true } }) {
  const { b24, rest, install } = await openRestStage(t)
  const asked: Array<{ url: string | undefined, headers: IncomingMessage['headers'], body: unknown }> = []
  const server = createServer(async (request, response) => {
    asked.push({ url: request.url, headers: request.headers, body: JSON.parse(await text(request)) as unknown })
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const simulated = b24.portal('acme.bitrix24.com')
  await install(simulated, { clientEndpoint: `http://127.0.0.1:${(server.address() as { port: number }).port}/rest/` })
  const portal = new Portals({ rest } as never).of({ memberId: simulated.memberId, domain: 'acme.bitrix24.com', state: 'active', scope: [] } as never)
  return { portal, asked }
}

t.test('callFull returns the fields beside the result', async t => {
  const { portal } = await portalOf(t, { body: { result: [{ ID: '1' }], total: '120', next: 50, time: { duration: 1 } } })
  t.strictSame(await portal.callFull('crm.deal.list'), { result: [{ ID: '1' }], total: 120, next: 50, time: { duration: 1 } })
  t.strictSame(await portal.call('crm.deal.list'), [{ ID: '1' }])
})

t.test('limits responses to the plugin\'s own calls to 64 KB unless a call sets maxBytes', async t => {
  const { portal } = await portalOf(t, { body: { result: 'x'.repeat(70_000) } })
  for (const method of ['profile', 'Event.Get']) await t.rejects(portal.call(method), { code: 'FST_B24_ANSWER_TOO_LARGE' }, method)
  t.equal((await portal.call<string>('profile', {}, { maxBytes: 100_000 })).length, 70_000)
  t.equal((await portal.call<string>('crm.item.list')).length, 70_000)
})

t.test('REST 3 has its own URLs and accepts an idempotency key', async t => {
  const { portal, asked } = await portalOf(t)
  await portal.call('tasks.task.add', { fields: {} }, { version: 3, idempotencyKey: 'event-1' })
  await portal.call('tasks.task.add', { fields: {} }, { version: 2 })
  t.match(asked, [{ url: '/rest/api/tasks.task.add', headers: { 'idempotency-key': 'event-1' } }, { url: '/rest/tasks.task.add' }])
  t.notOk('idempotency-key' in asked[1]!.headers)
})

t.test('a REST 3 batch is atomic', async t => {
  const { portal, asked } = await portalOf(t, { body: { result: [{ item: { id: 1 } }, { items: [] }], time: {} } })
  const answer = await portal.batch({ task: ['tasks.task.get', { id: 1, done: true }], log: ['main.eventlog.list', { filter: [['userId', '=', { $ref: 'task.item.id' }]] }] }, { version: 3 })
  t.match(asked[0], {
    url: '/rest/api/batch',
    headers: { authorization: /^Bearer ./ },
    body: [
      { method: 'tasks.task.get', query: { id: 1, done: true }, as: 'task' },
      { method: 'main.eventlog.list', query: { filter: [['userId', '=', { $ref: 'task.item.id' }]] }, as: 'log' }
    ]
  })
  t.match([answer.isSuccess, answer.getData()], [true, { task: { item: { id: 1 } }, log: { items: [] } }])
  t.equal((await portal.batch([['a.b'], ['a.b'], ['a.b']], { version: 3 })).isSuccess, false, 'a result that is missing')
})

t.test('sends positional parameters as an array', async t => {
  const { portal, asked } = await portalOf(t)
  await portal.call('task.elapseditem.getlist', [5, { ID: 'desc' }])
  t.match(asked[0], { headers: { authorization: /^Bearer ./ }, body: [5, { ID: 'desc' }] })
})

t.test('rejects invalid calls before sending', async t => {
  const { portal, asked } = await portalOf(t)
  for (const method of ['', 'a/b', '../oauth/token', 'a..b', 'a?b=1', 'a#b', 'a b', '.a', 'a.', 'a%2fb', 'a'.repeat(300), 5, undefined, null, {}, ['profile']]) {
    for (const made of [portal.call(method as string), portal.callFull(method as string), portal.list(method as string).next(), portal.batch([[method as string]])]) {
      await t.rejects(made, { code: 'FST_B24_INVALID_CALL', message: /is not a method name/ }, String(method))
    }
  }
  const options: Array<[options: object | null, message: RegExp]> = [
    [{ timeout: 5 }, /no option 'timeout'; did you mean 'timeoutMs'/],
    [{ timeoutMs: 0 }, /timeoutMs/],
    [{ timeoutMs: '5' }, /timeoutMs/],
    [{ timeoutMs: 2 ** 31 }, /timeoutMs/],
    [{ maxBytes: -1 }, /maxBytes/],
    [{ signal: {} }, /AbortSignal/],
    [{ version: 1 }, /version/],
    [{ idempotencyKey: 'x' }, /requires version: 3/],
    [{ idempotencyKey: 'x', version: 2 }, /requires version: 3/],
    [{ idempotencyKey: 'a\r\nb: c', version: 3 }, /printable/],
    [{ idempotencyKey: '', version: 3 }, /printable/],
    [null, /options of call must be an object, not null/]
  ]
  for (const [given, message] of options) await t.rejects(portal.call('profile', {}, given as object), { code: 'FST_B24_INVALID_CALL', message }, String(message))
  await t.rejects(portal.list('x.list', {}, { paging: 'page' as 'id' }).next(), { code: 'FST_B24_INVALID_CALL', message: /'id' or 'start'/ })
  await t.rejects(portal.list('x.list', {}, { paging: 'start', idKey: 'ID' }).next(), { code: 'FST_B24_INVALID_CALL' })
  t.equal(asked.length, 0)
  await portal.call('profile', {}, { signal: undefined, timeoutMs: undefined })
  t.equal(asked.length, 1, 'what is not set is none')
})

t.test('an error has the caller\'s stack frame, method, code and description', async t => {
  const { portal } = await portalOf(t, { status: 400, body: { error: 'NOT_FOUND', error_description: 'There is no such deal' } })
  const calls: Record<string, () => Promise<unknown>> = {
    async callHere () { return await portal.call('crm.item.get', { id: 'a value' }) },
    async callFullHere () { return await portal.callFull('crm.item.get') },
    async batchHere () { return await portal.batch([['crm.item.get']]) },
    async listHere () { for await (const page of portal.list('crm.item.get')) t.fail(`${page.length}`) }
  }
  for (const [name, make] of Object.entries(calls)) {
    const error = await make().catch((error: unknown) => error) as Error
    t.match(error.message, /NOT_FOUND.*There is no such deal/, name)
    t.match(error.stack, new RegExp(`${name}.*portal-calls\\.test`), name)
    t.notMatch(error.stack, 'a value')
  }
})

t.test('a client requires a supported SDK version', async t => {
  for (const load of [async () => { throw new Error('Cannot find package') }, async () => ({ B24OAuth: 5 })]) {
    await t.rejects(loadSdk(load as never), { code: 'FST_B24_SDK_MISSING', message: /npm install @bitrix24\/b24jssdk@~2\.2\.0/ })
  }
})
