import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { BodyBudget, type BodyReadingOptions, limitBodies } from '../../src/routes/body-reading.ts'
import { addBodyParsers } from '../../src/routes/body-parsers.ts'

t.setTimeout(60_000)

const FORM = 'application/x-www-form-urlencoded'
const LIMIT = 1_048_576

async function echoApp (t: Test, options: BodyReadingOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async scope => {
    limitBodies(scope, LIMIT, options)
    await addBodyParsers(scope, LIMIT)
    scope.post('/', async request => request.body)
    scope.get('/', async () => 'ready')
  })
  return app
}

interface Parsed extends IncomingMessage { body?: unknown, rawBody?: unknown }

t.test('accepts a body that the platform has already consumed', async t => {
  const app = await echoApp(t)
  await app.ready()
  const text = 'event=ONX&data%5BID%5D=5&auth%5Bmember_id%5D=m'
  const tree = { event: 'ONX', data: { ID: '5' }, auth: { member_id: 'm' } }
  const cases: Array<[what: string, left: Pick<Parsed, 'body' | 'rawBody'>, type: string, status: number]> = [
    ['rawBody, a Buffer', { rawBody: Buffer.from(text), body: { odd: true } }, FORM, 200],
    ['body, a string', { body: text }, FORM, 200],
    ['body, a Buffer', { body: Buffer.from(text) }, FORM, 200],
    ['body, bytes', { body: new Uint8Array(Buffer.from(text)) }, FORM, 200],
    ['body, a tree of a form', { body: tree }, FORM, 200],
    ['body, a flat map of a form', { body: { event: 'ONX', 'data[ID]': '5', 'auth[member_id]': 'm' } }, FORM, 200],
    ['body, a tree of JSON', { body: tree }, 'application/json', 200],
    ['body, the text of JSON', { body: JSON.stringify(tree) }, 'application/json; charset=utf-8', 200],
    ['nothing', {}, FORM, 400],
    ['a number', { body: 5 }, FORM, 400],
    ['null', { body: null }, 'application/json', 400]
  ]
  const server = createServer((request: Parsed, response) => {
    request.resume().once('end', () => {
      const at = Number(request.headers['x-case'])
      setImmediate(() => app.routing(Object.assign(request, cases[at]?.[1]), response))
    })
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  for (const [at, [what, , type, status]] of cases.entries()) {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: text, headers: { 'content-type': type, 'x-case': String(at) } })
    const body: unknown = await answer.json()
    t.equal(answer.status, status, what)
    if (status === 200) t.strictSame(body, tree, what)
    else t.match(body, { code: 'FST_B24_BODY_CONSUMED' }, what)
  }
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200, 'a GET has no body')
})

t.test('rejects a parsed body that violates the limits', async t => {
  const app = await echoApp(t)
  await app.ready()
  const circle: Record<string, unknown> = {}
  circle['circle'] = circle
  const server = createServer((request: Parsed, response) => {
    request.resume().once('end', () => setImmediate(() => app.routing(Object.assign(request, {
      body: request.headers['x-case'] === 'circle' ? circle : JSON.parse('{"a":{"__proto__":{"x":"1"}}}')
    }), response)))
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  for (const type of [FORM, 'application/json']) {
    for (const what of ['circle', 'prototype']) {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'a=1', headers: { 'content-type': type, 'x-case': what } })
      t.equal(answer.status, 400, `${what} ${type}`)
    }
  }
})

/** Starts a request and never ends it. Resolves with the response once the connection is closed. */
async function beginPost (url: string): Promise<{ answer: Promise<string> }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  let text = ''
  const answer = new Promise<string>(resolve => {
    socket.on('data', data => { text += data }).on('error', () => {}).on('close', () => resolve(text))
  })
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${FORM}\r\nContent-Length: 9\r\n\r\na=`)
  return { answer }
}

t.test('a body that never ends is answered 408, and its connection closed', async t => {
  const app = await echoApp(t, { timeoutMs: 50 })
  const { answer } = await beginPost(await app.listen({ port: 0, host: '127.0.0.1' }))
  const text = await answer
  t.match(text, /^HTTP\/1\.1 408 /)
  t.match(text, /FST_B24_BODY_TIMEOUT/)
  t.match(text, /connection: close/i)
})

t.test('a body that never ends does not prevent closing', async t => {
  const app = await echoApp(t, { timeoutMs: 1_000_000, closeMs: 20 })
  const { answer } = await beginPost(await app.listen({ port: 0, host: '127.0.0.1' }))
  await once(app.server, 'request')
  await app.close()
  t.match(await answer, /^HTTP\/1\.1 503 .*FST_B24_CLOSING/s)
})

t.test('a body that arrived in time is not affected by a slow handler', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  let late: (() => void) | undefined
  await app.register(async scope => {
    limitBodies(scope, LIMIT, { timeoutMs: 20 })
    await addBodyParsers(scope, LIMIT)
    scope.post('/', async () => {
      await new Promise<void>(resolve => { late = resolve })
      return 'done'
    })
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  setTimeout(() => late?.(), 200)
  t.equal((await fetch(url, { method: 'POST', body: new URLSearchParams({ a: '1' }) })).status, 200)
})

t.test('large bodies are read within a budget, small ones always', async t => {
  const budget = new BodyBudget({ most: 1000, free: 100 })
  const first = budget.reserve(250, '192.0.2.1')
  t.ok(first)
  t.equal(budget.reserve(101, '192.0.2.1'), undefined, 'a quarter for one sender')
  t.ok(budget.reserve(100, '192.0.2.1'), 'small')
  for (const ip of ['192.0.2.2', '192.0.2.3', '192.0.2.4']) t.ok(budget.reserve(250, ip))
  t.equal(budget.reserve(101, '192.0.2.5'), undefined, 'all of it is taken')
  first?.()
  t.ok(budget.reserve(250, '192.0.2.1'))

  const crowded = new BodyBudget({ most: 1000, free: 10 })
  for (const ip of ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4']) while (crowded.reserve(50, ip) !== undefined) ;
  for (const ip of ['192.0.2.5', '192.0.2.6', '192.0.2.7']) t.ok(crowded.reserve(50, ip), 'a few senders leave room for the first body of others')

  const held = new BodyBudget({ most: 400_000, free: 1000 })
  const slow = Fastify()
  t.teardown(() => slow.close())
  const waiting: Array<() => void> = []
  // Like a host that decompresses bodies after an asynchronous lookup.
  slow.addHook('preParsing', async (_request, _reply, payload) => {
    await new Promise<void>(resolve => { waiting.push(resolve) })
    return payload.pipe(new PassThrough())
  })
  await slow.register(async scope => {
    limitBodies(scope, LIMIT, { budget: held, timeoutMs: 50 })
    await addBodyParsers(scope, LIMIT)
    scope.post('/', async request => request.body)
  })
  const { port } = new URL(await slow.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-type: ${FORM}\r\ncontent-length: 90000\r\n\r\na=`)
  socket.on('error', () => {})
  const [{ socket: accepted }] = await once(slow.server, 'request') as [IncomingMessage]
  socket.destroy()
  await new Promise(resolve => { accepted.once('close', resolve) })
  for (const go of waiting) go()
  await new Promise(resolve => { setImmediate(resolve) })
  const places = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'].map(ip => held.reserve(100_000, ip))
  t.notOk(places.includes(undefined), 'what a sender reserved who hung up before that is given back')

  const app = await echoApp(t, { budget: new BodyBudget({ most: 300_000, free: 1000 }) })
  const post = async (length: number) => (await app.inject({ method: 'POST', url: '/', payload: `a=${'x'.repeat(length - 2)}`, headers: { 'content-type': FORM } })).statusCode
  t.equal(await post(100_000), 503)
  for (let round = 0; round < 10; round++) t.equal(await post(70_000), 200, 'what was read is given back')
  t.equal(await post(2 * LIMIT), 413, 'not read at all')
})
