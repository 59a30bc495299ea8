import t from 'tap'
import { temporaryFolder } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'
import { TokenWorld } from '../../helpers/token-world.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const INVALID_CLIENT = { status: 400, body: { error: 'invalid_client' } }

t.test('invalid_client concerns one portal if the credentials are valid', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const [acme, beta] = ['acme', 'beta'].map(name => world.b24.portal(`${name}.bitrix24.com`)) as [ReturnType<typeof world.b24.portal>, ReturnType<typeof world.b24.portal>]
  for (const portal of [acme, beta]) await world.install(portal)
  const tokens = world.tokens(t)

  // A new process knows nothing about its credentials and probes them.
  world.b24.fault('token', { ...INVALID_CLIENT, times: 1 })
  await t.rejects(tokens.access(acme.memberId), { code: 'FST_B24_PORTAL_GONE' })
  t.match(await world.record(acme), { state: 'suspended', suspension: { reason: 'uninstalled' } })
  t.strictSame(world.reported, [['suspended', acme.memberId]])
  t.equal((await tokens.access(beta.memberId)).generation, 2, 'others go on')

  world.aheadMs += 61 * 60_000
  t.equal((await tokens.access(acme.memberId)).generation, 2, 'it is back by itself')
  t.equal((await world.record(acme)).state, 'active')
})

t.test('invalid_client with wrong credentials suspends no portal', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const acme = world.b24.portal('acme.bitrix24.com')
  await world.install(acme)
  const tokens = world.tokens(t, { oauth: { clientSecret: secret() } })
  await t.rejects(tokens.access(acme.memberId), { code: 'FST_B24_APP_KEYS', message: /invalid_client/ })
  t.equal((await world.record(acme)).state, 'active')
  t.strictSame(world.reported, [])
})

t.test('credentials changed in Bitrix24 at runtime suspend no portal', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const [acme, beta] = ['acme', 'beta'].map(name => world.b24.portal(`${name}.bitrix24.com`)) as [ReturnType<typeof world.b24.portal>, ReturnType<typeof world.b24.portal>]
  for (const portal of [acme, beta]) await world.install(portal)
  const tokens = world.tokens(t)
  await tokens.access(acme.memberId)
  world.aheadMs += 2 * 60_000
  world.b24.app({ clientId: world.settings.clientId, clientSecret: secret() })
  await t.rejects(tokens.access(beta.memberId), { code: 'FST_B24_APP_KEYS' })
  t.equal((await world.record(beta)).state, 'active')
})

t.test('trusts accepted credentials if a server rejects the probe token', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const [acme, beta] = ['acme', 'beta'].map(name => world.b24.portal(`${name}.bitrix24.com`)) as [ReturnType<typeof world.b24.portal>, ReturnType<typeof world.b24.portal>]
  for (const portal of [acme, beta]) await world.install(portal)
  const tokens = world.tokens(t)
  world.b24.fault('token', { ...INVALID_CLIENT, times: 2 })
  await t.rejects(tokens.access(acme.memberId), { code: 'FST_B24_APP_KEYS' })
  await tokens.access(beta.memberId)
  world.aheadMs += 2 * 60_000
  world.b24.fault('token', INVALID_CLIENT)
  await t.rejects(tokens.access(acme.memberId), { code: 'FST_B24_PORTAL_GONE' })
})

t.test('keep-alive continues past rejected portals', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const portals = Array.from({ length: 10 }, (_, i) => world.b24.portal(`p${i}.bitrix24.com`))
  for (const portal of portals) await world.install(portal)
  world.aheadMs = 151 * DAY_MS
  // Every second refresh, plus one probe after the first.
  world.b24.fault('token', { ...INVALID_CLIENT, times: 1 })
  await world.keepAlive(t).run()
  const records = await Promise.all(portals.map(portal => world.record(portal)))
  t.equal(records.filter(({ state }) => state === 'suspended').length, 1)
  t.equal(records.filter(({ generation }) => generation === 2).length, 9)
})

t.test('keep-alive stops with wrong credentials', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  for (let i = 0; i < 6; i++) await world.install(world.b24.portal(`p${i}.bitrix24.com`))
  world.aheadMs = 151 * DAY_MS
  world.b24.fault('token', INVALID_CLIENT)
  await world.keepAlive(t).run()
  t.ok(world.refreshes <= 6, 'three portals, and what the server thinks of the keys')
  for (let i = 0; i < 6; i++) t.equal((await world.record(world.b24.portal(`p${i}.bitrix24.com`))).state, 'active')
})

t.test('stores a valid pair from an otherwise malformed response', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const acme = world.b24.portal('acme.bitrix24.com')
  const known = await world.install(acme)
  const tokens = world.tokens(t)
  const odd = [{}, { client_endpoint: 'https://a.example/' }, { client_endpoint: 7, scope: ['x'] }, { expires_in: '3600', status: {}, user_id: 'x' }, { member_id: null }, { error: '' }]
  for (const more of odd) {
    await world.expire(acme)
    const { accessToken, refreshToken } = acme.issue()
    world.b24.fault('token', { body: { access_token: accessToken, refresh_token: refreshToken, ...more }, times: 1 })
    t.equal((await tokens.access(acme.memberId)).accessToken, accessToken, JSON.stringify(more))
    const { clientEndpoint, domain, scope, status, installer } = await world.record(acme)
    t.strictSame([clientEndpoint, domain, scope, status, installer?.userId], [known.clientEndpoint, known.domain, known.scope, known.status, 1])
  }
  await world.expire(acme)
  world.b24.fault('token', { body: { access_token: secret(), refresh_token: secret(), member_id: 'another' }, times: 1 })
  await t.rejects(tokens.access(acme.memberId), { code: 'FST_B24_OAUTH_UNAVAILABLE', message: /another portal/ })
  t.equal((await tokens.access(acme.memberId)).generation, odd.length + 2, 'and that of another portal is not')
})

t.test('uses the system user by default, and the installer on request', async t => {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  const [acme, beta] = ['acme', 'beta'].map(name => world.b24.portal(`${name}.bitrix24.com`)) as [ReturnType<typeof world.b24.portal>, ReturnType<typeof world.b24.portal>]
  await world.install(acme, { systemUser: true })
  await world.install(beta)
  const [system, installer] = [world.tokens(t), world.tokens(t, { actAs: 'installer' })]
  const access = await system.access(acme.memberId)
  t.match(access, { owner: 'systemUser', userId: 1000 })
  t.match(await system.other(access), { owner: 'installer', userId: 1 })
  t.match(await installer.access(acme.memberId), { owner: 'installer' })
  const alone = await system.access(beta.memberId)
  t.match(alone, { owner: 'installer' })
  t.equal(await system.other(alone), undefined)
})
