import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import formbody from '@fastify/formbody'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Redis } from 'ioredis'
import t from 'tap'
import fastifyBitrix24, { type Bitrix24, type FastifyBitrix24Options } from '../src/index.ts'
import { createSimulator, waitForIdle } from '../src/testing/index.ts'
import { buildApp, buildWorld, temporaryFolder } from './helpers/app.ts'
import { endSimulator } from './helpers/end-simulator.ts'
import { freePort, startRedis } from './helpers/redis-server.ts'
import { until } from './helpers/until.ts'
import { secret } from './helpers/secrets.ts'

const keys = () => ({ clientId: 'local.plugin-test', clientSecret: secret() })

const MISSPELT: Array<[options: object, message: RegExp]> = [
  [{ publicURL: 'https://app.example.com' }, /fastify-bitrix24 has no option 'publicURL'; did you mean 'publicUrl'\?$/],
  [{ redisUrl: 'redis://127.0.0.1' }, /'redisUrl'; did you mean 'redis'\?$/],
  [{ clientSecret: undefined, clientSecrt: 'a' }, /'clientSecrt'; did you mean 'clientSecret'\?$/],
  [{ teapot: undefined }, /no option 'teapot'$/],
  [{ toString: 5 }, /'toString'/],
  [{ subscriptions: { ofline: true } }, /subscriptions has no option 'ofline'; did you mean 'offline'\?$/],
  [{ installPage: { bx24url: 'https://api.bitrix24.com/api/v1/' } }, /installPage has no option 'bx24url'; did you mean 'bx24Url'\?$/],
  [{ portalLimits: { bursts: 5 } }, /portalLimits has no option 'bursts'; did you mean 'burst'\?$/],
  [{ delivery: { attempt: 5 } }, /delivery has no option 'attempt'; did you mean 'attempts'\?$/],
  [{ delivery: { deadLetters: { maxAge: 5 } } }, /delivery\.deadLetters has no option 'maxAge'; did you mean 'maxAgeMs'\?$/],
  [{ webhooks: [{ memberId: 'a', applicationToken: 'made up 1' }, { memberId: 'c', applicationToken: 'made up 2', token: 'e' }] }, /webhooks\[1\] has no option 'token'$/]
]

t.test('wrong options stop the registration, and the error names the option', async t => {
  const cases: Array<[options: object, message: RegExp]> = [
    [{ clientId: undefined }, /clientId/],
    [{ clientId: '' }, /clientId/],
    [{ clientSecret: undefined }, /clientSecret/],
    [{ redis: 7 }, /redis/],
    [{ redis: 'http://127.0.0.1' }, /redis/],
    [{ redis: { mget () {}, eval () {} } }, /redis.*no duplicate$/],
    [{ redis: { mGet () {}, eval () {}, duplicate () {} } }, /redis.*no mget$/],
    [{ redis: { eval: 'eval' } }, /redis.*no mget, no eval, no duplicate$/],
    [{ redis: 'redis://127.0.0.1', store: {} }, /store/],
    [{ store: { get: () => {} } }, /store/],
    [{ dataDir: '' }, /dataDir/],
    [{ namespace: 'a.b' }, /namespace/],
    [{ prefix: 'bitrix24' }, /prefix/],
    [{ prefix: '/bitrix24/' }, /prefix/],
    [{ oauthServers: [] }, /oauthServers/],
    [{ oauthServers: ['oauth.bitrix.info'] }, /oauthServers/],
    [{ oauthServers: ['https://oauth.bitrix.info/rest/'] }, /oauthServers/],
    [{ oauthServers: ['http://oauth.bitrix.info'] }, /oauthServers/],
    [{ encryptionKeys: ['short'] }, /encryptionKeys/],
    [{ encryptionKeys: [7] }, /encryptionKeys/],
    [{ encryptionKeys: 'x'.repeat(32) }, /encryptionKeys must be a list of strings/],
    [{ clientSecret: 'x' }, /clientSecret is too weak/],
    [{ clientSecret: 'aaaaaaaaaaaa' }, /clientSecret is too weak/],
    [{ encryptionKeys: ['a'.repeat(32)] }, /encryptionKeys must be random/],
    [{ encryptionKeys: [Buffer.alloc(32)] }, /encryptionKeys must be random/],
    [{ encryptionKeys: ['ab'.repeat(20)] }, /encryptionKeys must be random/],
    [{ encryptionKeys: ['change-me-change-me-change-me-change-me'] }, /encryptionKeys must be random/],
    [{ webhooks: [{ memberId: 'a', applicationToken: 'x' }] }, /webhooks\[0\]\.applicationToken is too weak/],
    [{ webhooks: [{ memberId: 'a' }] }, /webhooks/],
    [{ webhooks: [null] }, /webhooks/],
    [{ webhooks: [{ memberId: ' a ', applicationToken: 'b' }] }, /webhooks/],
    [{ delivery: 'fast' }, /delivery/],
    [{ delivery: { handlerTimeoutMs: 0 } }, /handlerTimeoutMs/],
    [{ delivery: { handlerTimeoutMs: 1.5 } }, /handlerTimeoutMs/],
    [{ delivery: { handlerTimeoutMs: 2 ** 40 } }, /handlerTimeoutMs/],
    [{ allowPrivateNetworks: 'yes' as never }, /allowPrivateNetworks/],
    [{ allowPrivateNetworks: ['10.0.0.0/99'] }, /allowPrivateNetworks must be true, false or a list of networks/],
    [{ dispatcher: {} as never }, /dispatcher must be a Dispatcher of undici/],
    [{ portalLimits: 5 as never }, /portalLimits must be an object/],
    [{ portalLimits: { burst: 0 } }, /portalLimits\.burst must be a number from 1 to 100000/],
    [{ portalLimits: { drainPerSecond: Number.NaN } }, /portalLimits\.drainPerSecond/],
    [{ portalLimits: { waitMs: '5' as never } }, /portalLimits\.waitMs/],
    [{ portalLimits: { rate: 5 } as never }, /portalLimits has no option 'rate'/],
    [{ bodyLimit: 10 }, /bodyLimit/],
    [{ namespace: null }, /namespace/],
    [{ publicUrl: 'http://app.example.com' }, /publicUrl must be a public https URL/],
    [{ publicUrl: 'https://app.example.com/own', prefix: '/own' }, /use 'https:\/\/app\.example\.com'/],
    [{ subscriptions: { offline: true } }, /subscriptions\.offline requires publicUrl/],
    [{ subscriptions: { offline: ['onTaskAdd'] } }, /subscriptions\.offline requires publicUrl/],
    ...MISSPELT
  ]
  for (const [change, message] of cases) {
    const app = Fastify()
    const options = { ...keys(), dataDir: temporaryFolder(t), ...change } as FastifyBitrix24Options
    await t.rejects(async () => await app.register(fastifyBitrix24, options), { code: 'FST_B24_INVALID_OPTIONS', message }, String(message))
    await app.close()
  }
})

t.test('obeys logLevel and logSerializers of its registration', async t => {
  const cases: Array<[options: object, lines: number]> = [[{}, 2], [{ logLevel: 'warn' }, 0], [{ logLevel: 'silent' }, 0]]
  for (const [options, lines] of cases) {
    const { app, logs } = await buildApp(t, { ...keys(), logSerializers: { req: () => 'a request' }, ...options } as FastifyBitrix24Options)
    await app.ready()
    logs.length = 0
    await app.inject('/bitrix24/events')
    t.equal(logs.filter(line => line.includes('"reqId"')).length, lines, `lines of a request: ${JSON.stringify(options)}`)
    if (lines > 0) t.match(logs.join(''), '"req":"a request"')
    t.equal(logs.some(line => line.includes('fastify-bitrix24')), false)
  }
  const { app, logs } = await buildApp(t, { ...keys(), logLevel: 'error' } as FastifyBitrix24Options)
  app.bitrix24.on('onNoSuchThing', () => {})
  t.notMatch(logs.join(''), 'onNoSuchThing', 'a warning of the plugin itself')
  const loud = await buildApp(t, keys())
  loud.app.bitrix24.on('onNoSuchThing', () => {})
  t.match(loud.logs.join(''), 'onNoSuchThing')
  await t.rejects(buildApp(t, { ...keys(), logLevel: 'loud' } as never), { code: 'FST_B24_INVALID_OPTIONS', message: /logLevel/ })
})

t.test("what Fastify takes of the options is none of the plugin's business", async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyBitrix24, { ...keys(), dataDir: temporaryFolder(t), prefix: '/own', logLevel: 'warn', logSerializers: { id: String } })
  t.equal((await app.inject('/own/events')).statusCode, 200)
})

t.test('keeps installs in Redis where it is given a URL or a client', async t => {
  const url = process.env['REDIS_URL'] ?? ''
  const client = new Redis(url)
  t.teardown(() => client.quit())
  for (const redis of [url, client]) {
    const { app, b24, eventsUrl } = await buildWorld(t, { redis })
    const portal = b24.portal('acme.bitrix24.com')
    t.equal((await portal.install(eventsUrl)).statusCode, 200)
    await waitForIdle(app.bitrix24)
    t.match(await app.bitrix24.health(), { store: 'ok' })
    const found = []
    for await (const { memberId } of app.bitrix24.portals()) found.push(memberId)
    t.strictSame(found, [portal.memberId])
    t.equal(await app.bitrix24.portal('nobody'), undefined)
    await app.close()
  }
  t.equal(await client.ping(), 'PONG', 'a client of the caller stays open')
})

t.test('warns when Redis would lose what it stores', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const { logs } = await buildApp(t, { ...keys(), redis: server.url })
  await until(() => logs.some(line => /"level":40.*keeps nothing on disk/.test(line)), 'the warning')
})

t.test('warns where events are stored in a folder that this process does not work on', async t => {
  const cases: Array<[options: Partial<FastifyBitrix24Options>, warns: boolean]> = [
    [{ delivery: { worker: false } }, true],
    [{}, false],
    [{ delivery: { mode: 'inline' } }, false],
    [{ redis: process.env['REDIS_URL'], delivery: { worker: false } }, false]
  ]
  for (const [options, warns] of cases) {
    const { app, logs } = await buildApp(t, { ...keys(), ...options })
    await app.ready()
    const warnings = logs.map(line => JSON.parse(line)).filter(({ level, msg }) => level === 40 && /are only stored/.test(msg))
    t.equal(warnings.length, warns ? 1 : 0, JSON.stringify(options.delivery))
    if (warns) t.ok(existsSync(warnings[0].dataDir), 'and names it')
  }
})

t.test('does not start without its store, and says which option is wrong, and why', async t => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  const readOnly = join(folder, 'read-only')
  mkdirSync(readOnly, { mode: 0o555 })
  chmodSync(folder, 0o755)
  const password = secret()
  const refused = await freePort()
  const locked = await startRedis({ args: ['--requirepass', secret()] })
  const server = createServer((_request, response) => response.end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => { await locked.stop(); server.close() })
  const { port } = server.address() as AddressInfo
  const own = { get: async () => { throw new Error('down') }, swap: async () => true, scan: async () => ({ installs: [] }) }
  const cases: Array<[options: object, message: RegExp]> = [
    [{ dataDir: file }, new RegExp(`option dataDir ${file}: ENOTDIR: not a directory`)],
    [{ dataDir: join(file, 'below') }, /option dataDir .*below: ENOTDIR/],
    // Node's recursive mkdir never returns there.
    ...(existsSync('/proc/self') ? [[{ dataDir: '/proc/none/app' }, /option dataDir .*none.app: ENOENT/] as [object, RegExp]] : []),
    [{ dataDir: `${folder}/${'x'.repeat(300)}` }, /option dataDir .*ENAMETOOLONG/],
    [{ store: own }, /option store: down$/],
    [{ redis: `redis://:${password}@127.0.0.1:${locked.port}` }, new RegExp(`option redis redis://127\\.0\\.0\\.1:${locked.port}: WRONGPASS`)],
    [{ redis: locked.url }, /option redis .*: NOAUTH Redis requires a password$/],
    [{ redis: { host: '127.0.0.1', port: locked.port, password, db: 3 } }, /option redis 127\.0\.0\.1:\d+\/3: WRONGPASS/],
    [{ redis: `redis://127.0.0.1:${port}` }, /option redis .*: What listens there does not speak the protocol of Redis/],
    [{ redis: `${process.env['REDIS_URL']?.replace(/\/\d*$/, '')}/9999` }, /option redis .*\/9999: ERR DB index is out of range$/]
  ]
  for (const [options, message] of cases) {
    const beganAt = performance.now()
    const error = await buildApp(t, { ...keys(), ...options } as FastifyBitrix24Options).catch(error => error)
    t.match(error, { code: 'FST_B24_STORE_UNAVAILABLE', message })
    t.ok(error.stack.includes(error.message), 'also where only the stack is printed')
    t.notMatch(inspect(error, { depth: 9 }), password)
    t.ok(performance.now() - beganAt < 4_500, 'does not wait for what cannot pass')
  }
  await t.test('a folder that may not be written', { skip: process.getuid?.() !== 0 && 'only root can become nobody' }, async t => {
    const options = { ...keys(), dataDir: readOnly }
    const app = Fastify()
    t.teardown(() => app.close())
    process.seteuid!(65_534)
    const error = await Promise.resolve(app.register(fastifyBitrix24, options)).then(() => undefined, (error: Error) => error)
    process.seteuid!(0)
    t.match(error, { code: 'FST_B24_STORE_UNAVAILABLE', message: /option dataDir .*read-only: EACCES: permission denied/ })
  })
  const beganAt = performance.now()
  await t.rejects(buildApp(t, { ...keys(), redis: `redis://127.0.0.1:${refused}` }), { code: 'FST_B24_STORE_UNAVAILABLE', message: /option redis .*ECONNREFUSED/ })
  const tookMs = performance.now() - beganAt
  t.ok(tookMs > 4_900 && tookMs < 8_000, `waits five seconds for a Redis that may come up: ${Math.round(tookMs)} ms`)
})

t.test('an own store that fails or hangs is a store that is away', async t => {
  const own = { isAway: false, get: async () => undefined as never, swap: async () => true, scan: async () => ({ installs: [] }) }
  const { app } = await buildApp(t, { ...keys(), store: own })
  t.match(await app.bitrix24.health(), { store: 'ok' })
  t.strictSame(await app.bitrix24.portals().next(), { value: undefined, done: true })
  const post = () => app.inject({ method: 'POST', url: '/bitrix24/events', payload: { event: 'ONTASKADD', auth: { member_id: 'a' } } })
  const failures = [async () => { throw Object.assign(new Error('duplicate'), { code: 11000, statusCode: 409 }) }, () => new Promise<never>(() => {})]
  for (const get of failures) {
    own.get = get
    const answer = await post()
    t.equal(answer.statusCode, 503)
    t.match(answer.json(), { code: 'FST_B24_STORE_UNAVAILABLE' })
    t.match(await app.bitrix24.health(), { store: 'unavailable' })
  }
  await t.rejects(buildApp(t, { ...keys(), store: own }), { code: 'FST_B24_STORE_UNAVAILABLE' }, 'and stops the start')
})

t.test('answers what hooks of the host throw', async t => {
  let fail: () => void = () => {}
  const { app } = await buildApp(t, keys(), {}, app => {
    app.addHook('preHandler', async (_request, reply) => { reply.code(200); fail() })
    app.addHook('onRequest', async (request, reply) => { if (request.headers['x-stop'] === 'yes') { reply.code(401); throw new Error('not you') } })
  })
  const post = async (headers = {}) => {
    const answer = await app.inject({ method: 'POST', url: '/bitrix24/events', headers, payload: { event: 'ONTASKADD', auth: { member_id: 'a' } } })
    return { ...answer.json<object>(), retryAfter: answer.headers['retry-after'] }
  }
  t.match(await post({ 'x-stop': 'yes' }), { statusCode: 401, message: 'not you' })
  fail = () => { throw Object.assign(new Error('secret of the host'), { code: 11000 }) }
  t.match(await post(), { statusCode: 500, code: 'FST_B24_INTERNAL', message: 'Internal error' })
  fail = () => { throw Object.assign(new Error('busy'), { statusCode: 429, code: 'HOST_BUSY', headers: { 'retry-after': '5' } }) }
  t.match(await post(), { statusCode: 429, code: 'HOST_BUSY', retryAfter: '5' })
})

t.test('several apps live in one server', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const dataDir = temporaryFolder(t)
  const worlds = []
  for (const namespace of ['sales', 'support']) {
    const own = { clientId: `local.${namespace}`, clientSecret: secret() }
    const b24 = await createSimulator(own)
    t.teardown(() => endSimulator(b24))
    await app.register(fastifyBitrix24, { ...own, namespace, dataDir, oauthServers: [b24.oauthServer], allowPrivateNetworks: true })
    worlds.push({ namespace, portal: b24.portal('acme.bitrix24.com') })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  const apps = app.bitrix24 as unknown as Record<string, Bitrix24>
  const heard: string[] = []
  for (const { namespace } of worlds) apps[namespace]?.on('onCrmDealAdd', (_event, { portal }) => { heard.push(`${namespace} ${portal.memberId}`) })
  for (const { namespace, portal } of worlds) {
    const url = `${app.listeningOrigin}/bitrix24/${namespace}/events`
    t.equal((await portal.install(url)).statusCode, 200)
    t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } })).statusCode, 200)
    await waitForIdle(apps[namespace]!)
  }
  t.strictSame(heard, worlds.map(({ namespace, portal }) => `${namespace} ${portal.memberId}`))
  const [sales, support] = worlds
  const crossed = await sales!.portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } }, { url: support!.portal.eventsUrl! })
  t.equal(crossed.statusCode, 403, 'one app knows nothing of the portals of another')
})

t.test('a namespace and the plain decorator are taken once each, and exclude each other', async t => {
  const dataDir = temporaryFolder(t)
  const named = { namespace: 'sales' }
  const cases: Array<[first: object, second: object, message: RegExp]> = [
    [named, named, /namespace 'sales' is already in use/],
    [named, {}, /set a namespace for each/],
    [{}, named, /set a namespace for each/],
    [{}, {}, /set a namespace for each/]
  ]
  for (const [first, second, message] of cases) {
    const { app } = await buildApp(t, { ...keys(), clientId: 'local.first', ...first, dataDir })
    const unopened = join(dataDir, 'unopened')
    await t.rejects(async () => await app.register(fastifyBitrix24, { ...keys(), ...second, dataDir: unopened }), { code: 'FST_B24_INVALID_OPTIONS', message })
    t.notOk(existsSync(unopened), 'and nothing is opened')
  }
  const { app } = await buildApp(t, { ...keys(), namespace: 'toString', dataDir })
  t.ok('toString' in app.bitrix24, 'any word will do')
})

t.test('one server has an app once, as two of one clientId would share a queue', async t => {
  const own = keys()
  const dataDir = temporaryFolder(t)
  const again = { code: 'FST_B24_INVALID_OPTIONS', message: /clientId 'local\.plugin-test' is already registered/ }
  const beside = async (scope: FastifyInstance) => { await scope.register(fastifyBitrix24, { ...own, namespace: 'support', dataDir }) }
  for (const where of [beside, fp(beside)]) {
    const { app } = await buildApp(t, { ...own, namespace: 'sales', dataDir })
    await t.rejects(async () => await app.register(where, { prefix: '/deep' }), again)
  }
  const apart = Fastify()
  t.teardown(() => apart.close())
  await t.resolves(async () => await apart.register(async scope => { await scope.register(fastifyBitrix24, { ...own, dataDir }) }, { prefix: '/deep' }), 'another server may have it')
  await t.rejects(async () => await apart.register(beside), again, 'and of its scopes, one')
})

t.test('a host that has its own request.portal is told', async t => {
  await t.rejects(buildApp(t, keys(), {}, app => { app.decorateRequest('portal', null) }), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
})

t.test('adds its prefix to that of the scope it is registered in', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const dataDir = temporaryFolder(t)
  await app.register(async scope => { await scope.register(fastifyBitrix24, { ...keys(), dataDir }) }, { prefix: '/api' })
  t.equal((await app.inject('/api/bitrix24/events')).statusCode, 200)
  t.notOk(app.hasDecorator('bitrix24'), 'and stays in it')
})

t.test('lives beside a host that parses forms, coerces and removes', async t => {
  const own = keys()
  const b24 = await createSimulator(own)
  t.teardown(() => endSimulator(b24))
  const app = Fastify({ ajv: { customOptions: { removeAdditional: 'all', coerceTypes: 'array', useDefaults: true } } })
  t.teardown(() => app.close())
  await app.register(formbody)
  await app.register(swagger, { openapi: {} })
  app.addHook('onRoute', route => { route.schema = { ...route.schema, headers: { type: 'object', properties: { 'x-of-the-host': { type: 'string' } } } } })
  app.post('/own', async request => request.body)
  await app.register(fastifyBitrix24, { ...own, dataDir: temporaryFolder(t), oauthServers: [b24.oauthServer], allowPrivateNetworks: true, prefix: '/b24' })
  const heard: unknown[] = []
  app.bitrix24.onAny(event => { heard.push(event.code, event.data) })
  await app.listen({ port: 0, host: '127.0.0.1' })

  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(`${app.listeningOrigin}/b24/events`)).statusCode, 200)
  await waitForIdle(app.bitrix24)
  heard.length = 0
  t.equal((await portal.send('onMyOwnEvent', { deep: { er: ['1', '2'] } })).statusCode, 200)
  await waitForIdle(app.bitrix24)
  t.strictSame(JSON.parse(JSON.stringify(heard)), ['ONMYOWNEVENT', { deep: { er: ['1', '2'] } }])

  const own1 = await app.inject({ method: 'POST', url: '/own', payload: 'a[b]=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } })
  t.strictSame(own1.json(), { 'a[b]': '1' }, "the host's forms are read as before")

  const paths = app.swagger().paths as Record<string, { post: { requestBody: { content: Record<string, { schema: { required: string[] } }> } } }>
  t.match(paths['/b24/events']?.post.requestBody.content['application/x-www-form-urlencoded']?.schema.required, ['event', 'auth'])
})

t.test('refuses hooks and handlers that cannot work', async t => {
  const { app } = await buildApp(t, keys())
  const { bitrix24 } = app
  t.throws(() => bitrix24.addHook('onTeapot' as 'onInstall', () => {}), { code: 'FST_B24_HOOK_UNSUPPORTED' })
  t.throws(() => bitrix24.addHook('onCrmDealAdd' as 'onInstall', () => {}), { code: 'FST_B24_HOOK_UNSUPPORTED', message: /for events use on\('onCrmDealAdd', …\)$/ })
  t.throws(() => bitrix24.addHook('onInstalled' as 'onInstall', () => {}), { code: 'FST_B24_HOOK_UNSUPPORTED', message: /did you mean 'onInstall'\?$/ })
  t.throws(() => bitrix24.addHook('onInstall', 'f' as never), { code: 'FST_B24_HOOK_UNSUPPORTED' })
  t.throws(() => bitrix24.on('onCrmDealAdd', 'f' as never), { code: 'FST_B24_INVALID_HANDLER' })
  t.throws(() => bitrix24.offAny('f' as never), { code: 'FST_B24_INVALID_HANDLER' })
})

t.test('warns of an event that no page documents, and takes it', async t => {
  const { app, logs } = await buildApp(t, keys())
  app.bitrix24.on(['onTeapotBoiled', 'onTaskAdd', 'onCrmDealUpdated', 'onInstall'], () => {})
  const warnings = logs.map(line => JSON.parse(line)).filter(({ event }) => event !== undefined)
  t.match(warnings, [
    { level: 40, plugin: 'fastify-bitrix24', event: 'onTeapotBoiled', msg: "unknown event 'onTeapotBoiled': its data is passed as sent" },
    { event: 'onCrmDealUpdated', msg: /did you mean 'onCrmDealUpdate'\?$/ },
    { event: 'onInstall', msg: /use addHook\('onInstall', …\)$/ }
  ])
  t.equal(warnings.length, 3)
})

t.test('makes its folder for the owner alone', async t => {
  const dataDir = join(temporaryFolder(t), 'deep')
  await buildApp(t, { ...keys(), dataDir })
  const { statSync } = await import('node:fs')
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
})
