import type { B24OAuth } from '@bitrix24/b24jssdk'
import t from 'tap'
import { runCommand } from '../../helpers/program.ts'
import { openRestStage } from '../../helpers/rest-stage.ts'
import { until } from '../../helpers/until.ts'

const DOMAIN = 'acme.bitrix24.com'

t.test('calls a method with the stored token and resolves with its result', async t => {
  const { b24, rest, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  t.match(await rest.call(portal.memberId, 'profile'), { ID: '1' })
  portal.items.set(2, 5, { title: 'A deal' })
  const params = Object.freeze({ entityTypeId: 2, id: 5 })
  t.match(await rest.call(portal.memberId, 'crm.item.get', params), { item: { id: 5, title: 'A deal' } })
  t.strictSame(portal.calls.map(({ method, status, inBody }) => [method, status, inBody]), [
    ['profile', 200, ['auth']],
    ['crm.item.get', 200, ['entityTypeId', 'id', 'auth']]
  ])
  t.notOk(portal.calls.some(({ inUrl }) => inUrl.includes('auth')), 'no token in a URL')
})

t.test('needs two Redis commands per call, plus one for the plan on a portal\'s first call', async t => {
  const { b24, rest, install, asked } = await openRestStage(t)
  for (const domain of [DOMAIN, 'beta.bitrix24.com']) {
    const portal = b24.portal(domain)
    await install(portal)
    for (let call = 0; call < 3; call++) {
      asked.get = asked.eval = 0
      await rest.call(portal.memberId, 'profile')
      t.strictSame(asked, { get: call === 0 ? 2 : 1, eval: 1 }, `call ${call} of ${domain}`)
    }
  }
})

t.test('four processes with fifty calls each share one refresh', async t => {
  const { b24, another, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  portal.expireTokens()
  const processes = Array.from({ length: 4 }, () => another())
  const calls = processes.flatMap(rest => Array.from({ length: 50 }, async () => await rest.call(portal.memberId, 'profile')))
  t.equal((await Promise.all(calls)).length, 200)
  t.equal(b24.requests.filter(({ path }) => path.includes('token')).length, 1)
})

t.test('uses a token refreshed by another process', async t => {
  const { b24, rest, another, tokens, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const held = await rest.client(portal.memberId)
  await rest.call(portal.memberId, 'profile')
  await tokens.renew(await tokens.access(portal.memberId))
  const refreshes = () => b24.requests.filter(({ path }) => path.includes('token')).length
  t.equal(refreshes(), 1)
  t.match(await rest.call(portal.memberId, 'profile'), { ID: '1' })
  t.match(await another().call(portal.memberId, 'profile'), { ID: '1' })
  const answer = await held.actions.v2.call.make({ method: 'profile' })
  t.match(answer.getData()?.result, { ID: '1' })
  t.equal(refreshes(), 1)
  t.ok(portal.calls.every(({ status }) => status === 200), 'none was refused')
})

t.test('the official client knows neither the client secret nor a refresh token', async t => {
  const { b24, rest, install, tokens } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  const pair = await install(portal)
  const client = await rest.client(portal.memberId)
  t.equal(client.constructor.name, 'B24OAuth')
  t.equal(await rest.client(portal.memberId), client, 'the same as before')
  const auth = client.auth.getAuthData()
  t.match(auth, { access_token: pair.accessToken, member_id: portal.memberId, domain: DOMAIN, refresh_token: 'held by fastify-bitrix24' })
  t.match(await client.auth.refreshAuth(), { refresh_token: 'held by fastify-bitrix24' })
  const { accessToken } = await tokens.access(portal.memberId)
  t.not(accessToken, pair.accessToken, 'a refresh that is asked for is made')
  t.match(client.auth.getAuthData(), { access_token: accessToken })
  portal.items.set(2, 5, { title: 'A deal' })
  const answer = await client.actions.v2.call.make<{ item: object }>({ method: 'crm.item.get', params: { entityTypeId: 2, id: 5 }, requestId: 'mine' })
  t.match(answer.getData()?.result.item, { title: 'A deal' })
  await t.rejects(client.actions.v2.call.make({ method: 'no.such.method' }), { name: 'AjaxError', code: 'ERROR_METHOD_NOT_FOUND', status: 404 })
})

t.test('the client gets a new token when its own has expired', async t => {
  const stage = await openRestStage(t)
  const portal = stage.b24.portal(DOMAIN)
  await stage.install(portal)
  const access = await stage.tokens.access(portal.memberId)
  const questions: string[] = []
  const rest = stage.another({
    tokens: {
      access: async () => { questions.push('access'); return { ...access, expiresAt: Date.now() + 2_500 } },
      renew: async () => { questions.push('renew'); return access },
      replace: async () => undefined,
      other: async () => undefined,
      suspend: async () => {},
      resume: async () => {},
      locate: async () => access,
      move: async () => access
    }
  })
  const client = await rest.client(portal.memberId)
  t.match(client.auth.getAuthData(), { access_token: access.accessToken })
  await until(() => client.auth.getAuthData() === false, 'the hour is over')
  questions.length = 0
  await client.actions.v2.call.make({ method: 'profile' })
  t.strictSame(questions, ['access', 'access'], 'once by the SDK, once by the call')
  await until(() => client.auth.getAuthData() === false, 'the hour is over')
  questions.length = 0
  await rest.call(portal.memberId, 'profile')
  t.strictSame(questions, ['access'])
})

t.test('caches the most recently used clients', async t => {
  const { b24, rest, install } = await openRestStage(t, { maxClients: 2 })
  const portals = ['a', 'b', 'c'].map(name => b24.portal(`${name}.bitrix24.com`))
  for (const portal of portals) await install(portal)
  const [a, b, c] = portals as [typeof portals[0], typeof portals[0], typeof portals[0]]
  const first: B24OAuth[] = [await rest.client(a.memberId), await rest.client(b.memberId)]
  await rest.client(a.memberId)
  await rest.client(c.memberId)
  t.equal(await rest.client(a.memberId), first[0])
  t.not(await rest.client(b.memberId), first[1])
  t.match((await first[1]!.actions.v2.call.make({ method: 'profile' })).getData()?.result, { ID: '1' }, 'one that was forgotten still works')
})

t.test('the client uses the base URL of REST 3', async t => {
  const { b24, rest, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const client = await rest.client(portal.memberId)
  const validation = [{ message: 'Required field `id` is missing', field: 'id' }]
  const body = { error: { code: 'BITRIX_REST_V3_EXCEPTION_VALIDATION_REQUESTVALIDATIONEXCEPTION', message: 'Why', validation } }
  portal.fault('note.document.get', { status: 400, body: body as never })
  const refused = await client.actions.v3.call.make({ method: 'note.document.get', params: {} }).then(result => [...result.getErrors()][0], (error: unknown) => error)
  t.match(refused, { validation, originalError: { details: { validation } } }, 'what REST 3 says of single fields reaches who calls')
})

t.test('rejects parameters that are not JSON before sending', async t => {
  const { b24, rest, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  const circle: Record<string, unknown> = {}
  circle['itself'] = circle
  await t.rejects(rest.call(portal.memberId, 'profile', circle), { code: 'FST_B24_INVALID_CALL' })
  t.equal(portal.calls.length, 0)
})

t.test('accepts a response without time', async t => {
  const { b24, rest, install } = await openRestStage(t)
  const portal = b24.portal(DOMAIN)
  await install(portal)
  portal.fault('profile', { body: { result: { ID: '9' } } })
  t.strictSame(await rest.call(portal.memberId, 'profile'), { ID: '9' })
})

t.test('loads the SDK on the first use of a client', async t => {
  const program = `
    await import('./src/index.ts')
    const { PortalRest } = await import('./src/portal/rest/rest.ts')
    const { LocalLimits } = await import('./src/storage/sqlite/call-rate-limits.ts')
    const { RestTransport } = await import('./src/portal/rest/rest-transport.ts')
    const tokens = { access: async () => { throw new Error('none') } }
    const rest = new PortalRest({ tokens, limits: new LocalLimits(), transport: new RestTransport({ allowPrivateNetworks: false }) })
    await rest.call('nobody', 'profile').catch(() => {})
    console.log("nothing")`
  const hook = `data:text/javascript,${encodeURIComponent(`
    import { register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent(\`
      export async function resolve (name, context, next) {
        if (name.startsWith('@bitrix24/')) console.log('loaded ' + name)
        return next(name, context)
      }\`))`)}`
  const run = (code: string) => runCommand(process.execPath, ['--import', 'tsx', '--import', hook, '--input-type=module', '-e', code]).stdout.trim()
  t.equal(run(program), 'nothing')
  t.match(run("await (await import('./src/portal/rest/sdk.ts')).loadSdk()"), /loaded @bitrix24\/b24jssdk/)
})
