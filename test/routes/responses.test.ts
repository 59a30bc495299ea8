import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import Fastify, { type FastifyServerOptions } from 'fastify'
import t from 'tap'
import { closeAfterResponses, serializersWithoutQuery } from '../../src/routes/responses.ts'
import { deliver } from '../../src/testing/portal/deliver.ts'

t.setTimeout(30_000)

async function appThatAnswersAtClose (mostMs: number, posts = 1) {
  const app = Fastify({ forceCloseConnections: 'idle' })
  const stage = new EventEmitter()
  const [asked, closing] = [once(stage, 'asked'), once(stage, 'closing')]
  let asks = 0
  app.addHook('preClose', async () => { stage.emit('closing') })
  await app.register(async scope => {
    closeAfterResponses(scope, mostMs)
    scope.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async () => ({}))
    scope.post('/late', async () => {
      if (++asks === posts) stage.emit('asked')
      await closing
      return { status: 'late' }
    })
    scope.post('/never', async () => {
      stage.emit('asked')
      await new Promise(() => {})
    })
  })
  // Runs after the delay, before the server itself closes.
  let waitedMs = -1
  app.register(async scope => { scope.addHook('preClose', async () => { waitedMs = performance.now() }) })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, url, asked, waitedSince: (begun: number) => waitedMs - begun }
}

t.test('a response in progress during close always arrives', async t => {
  for (let round = 0; round < 20; round++) {
    const { app, url, asked } = await appThatAnswersAtClose(5_000, 5)
    const answers = Array.from({ length: 5 }, async () => await deliver({ url: url + '/late', body: 'a=1' }))
    await asked
    await app.close()
    for (const { statusCode, error } of await Promise.all(answers)) if (statusCode !== 200) t.fail(`${statusCode} ${error}`)
  }
  t.pass('each of 100')
})

t.test('no response and no slow body delays the close beyond its limit', async t => {
  const { app, url, asked, waitedSince } = await appThatAnswersAtClose(300)
  const never = deliver({ url: url + '/never', body: 'a=1' })
  await asked
  const begun = performance.now()
  const closed = app.close()
  setTimeout(() => app.server.closeAllConnections(), 3_000)
  await closed
  t.ok(waitedSince(begun) >= 290 && waitedSince(begun) < 2_000, `${waitedSince(begun)} ms`)
  t.equal((await never).statusCode, 0)

  const slow = await appThatAnswersAtClose(20_000)
  const socket = connect(Number(new URL(slow.url).port), '127.0.0.1')
  socket.on('error', () => {}).write('POST /late HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\na')
  await once(slow.app.server, 'request')
  setTimeout(() => slow.app.server.closeAllConnections(), 1_000)
  const slowBegun = performance.now()
  await slow.app.close()
  t.ok(slow.waitedSince(slowBegun) < 900, `${slow.waitedSince(slowBegun)} ms`)
  socket.destroy()
})

t.test('a sender that disconnected does not delay the close', async t => {
  const app = Fastify({ forceCloseConnections: true })
  const stage = new EventEmitter()
  let begun = false
  app.addHook('preParsing', async request => {
    if (request.url === '/late') await once(stage, 'gone')
  })
  await app.register(async scope => {
    closeAfterResponses(scope, 1_000_000)
    scope.addHook('preHandler', async () => { begun = true })
    scope.get('/late', async () => await new Promise(() => {}))
  })
  const socket = connect(Number(new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port), '127.0.0.1')
  socket.on('error', () => {}).write('GET /late HTTP/1.1\r\nHost: a\r\n\r\n')
  const [{ socket: accepted }] = await once(app.server, 'request') as [IncomingMessage]
  socket.destroy()
  await new Promise(resolve => { accepted.once('close', resolve) })
  stage.emit('gone')
  await new Promise(resolve => { setImmediate(resolve) })
  t.ok(begun)
  await app.close()
})

const cases: Array<[what: string, serializers: Record<string, (request: never) => unknown> | undefined, expected: unknown]> = [
  ['that of Fastify', undefined, { method: 'GET', url: '/install' }],
  ['one of the host', { req: () => ({ path: '/x', url: '/install?APP_SID=1#x', tenant: 5 }) }, { path: '/x', url: '/install', tenant: 5 }],
  ['one of the host that writes no more than a text', { req: () => 'GET /install?APP_SID=1' }, { method: 'GET', url: '/install' }]
]
for (const [what, serializers, expected] of cases) {
  t.test(`the log has no query with any serializer: ${what}`, async t => {
    const lines: string[] = []
    const stream = { write: (line: string) => { lines.push(line) } }
    const app = Fastify({ logger: { stream, ...(serializers !== undefined && { serializers }) } } as FastifyServerOptions)
    t.teardown(() => app.close())
    app.get('/install', { logSerializers: serializersWithoutQuery(app.log) }, async () => 'ok')
    await app.inject('/install?APP_SID=1')
    t.match(JSON.parse(lines[0] as string).req, expected)
    t.notMatch(lines.join(''), 'APP_SID')
  })
}

t.test('a host without a logger', async t => {
  const { req } = serializersWithoutQuery(Fastify().log)
  t.strictSame(req({ method: 'POST', url: '/install?APP_SID=1' } as never), { method: 'POST', url: '/install' })
})
