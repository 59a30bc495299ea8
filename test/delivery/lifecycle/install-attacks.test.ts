import t from 'tap'
import { buildWorld, type World } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'
import { until } from '../../helpers/until.ts'

type Portal = ReturnType<World['b24']['portal']>

const DEAL = { FIELDS: { ID: 7 } }
const now = () => Math.floor(Date.now() / 1000)
const tokensOf = ({ accessToken, refreshToken }: { accessToken: string, refreshToken: string }) => ({ access_token: accessToken, refresh_token: refreshToken })

/** What the app can do on the portal an hour later, when only the stored refresh token helps. */
async function works ({ app }: World, portal: Portal): Promise<unknown> {
  portal.expireTokens()
  return await (await app.bitrix24.portal(portal.memberId))!.call('profile').then(() => 'works', (error: { code: string }) => error.code)
}

t.test('a user who is no admin cannot install the app by an event either', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const reasons: string[] = []
  world.app.bitrix24.addHook('onReject', ({ reason }) => { reasons.push(reason) })
  const [fresh, known] = [world.b24.portal('fresh.bitrix24.com'), world.b24.portal('known.bitrix24.com')]
  await known.install(world.eventsUrl, { ts: now() - 50 })
  for (const [portal, token] of [[fresh, secret()], [fresh, fresh.applicationToken], [known, secret()], [known, known.applicationToken]] as const) {
    t.equal((await portal.install(world.eventsUrl, { user: 2, auth: { application_token: token } })).statusCode, 403)
  }
  t.equal((await known.update({ user: 2 })).statusCode, 403)
  const users = known.issue({ userId: 2 })
  t.equal((await known.userReady({ user: 2, data: { ...tokensOf(users), user_id: 2 } })).statusCode, 403)
  t.strictSame(new Set(reasons), new Set(['not_admin']))
  t.equal(await world.app.bitrix24.portal(fresh.memberId), undefined)
  t.match(await world.app.bitrix24.portal(known.memberId), { userId: 1, version: '1' })
  t.equal(await works(world, known), 'works')
})

t.test('a refresh token that is no good takes the place of none', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.eventsUrl, { ts: now() - 50 })
  t.equal((await portal.install(world.eventsUrl, { auth: { refresh_token: secret() } })).statusCode, 403)
  t.equal(await works(world, portal), 'works')
})

t.test('an install sent again, with any time and token, does not lose access', async t => {
  const cases: Array<[what: string, fields: object, token?: string]> = [
    ['older', { ts: '1000' }], ['unchanged', {}], ['now', { ts: String(now()) }], ['as an update', { event: 'ONAPPUPDATE', ts: '1000' }], ['with another token', { ts: '1000' }, secret()], ['now, with another token', {}, secret()]
  ]
  for (const [what, fields, token] of cases) {
    const world = await buildWorld(t, { delivery: { mode: 'inline' } })
    const portal = world.b24.portal('acme.bitrix24.com')
    await portal.install(world.eventsUrl, { ts: now() - 50 })
    const pair = portal.installer!
    portal.expireTokens()
    const auth = { ...tokensOf(pair), application_token: token ?? portal.applicationToken }
    const { statusCode } = await portal.send('ONAPPINSTALL', { VERSION: '1' }, { url: world.eventsUrl, auth, fields: { ts: String(now() - 50), ...fields } })
    t.ok([200, 403].includes(statusCode), what)
    t.equal(await works(world, portal), 'works', what)
    t.equal((await portal.send('onCrmDealAdd', DEAL)).statusCode, 200, what)
    await world.app.close()
  }
})

t.test('an install older than the stored one is not verified, so that its pair is not used up', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.eventsUrl, { ts: now() - 50 })
  for (const [event, ts] of [['ONAPPINSTALL', 1000], ['ONAPPINSTALL', now() - 51], ['ONAPPUPDATE', 1000]] as const) {
    const [asked, calls, kept] = [world.b24.requests.length, portal.calls.length, await world.app.bitrix24.portal(portal.memberId)]
    const auth = tokensOf(portal.issue({ userId: 1 }))
    t.equal((await portal.send(event, { VERSION: '1' }, { url: world.eventsUrl, auth, fields: { ts: String(ts) } })).statusCode, 200)
    t.strictSame([world.b24.requests.length, portal.calls.length], [asked, calls], `${event} of ${ts}`)
    t.equal((await world.app.bitrix24.portal(portal.memberId))!.version, kept!.version)
  }
  t.equal(await works(world, portal), 'works')
})

t.test('a refreshed pair is kept although a newer copy of its install was stored meanwhile', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const portal = world.b24.portal('acme.bitrix24.com')
  world.b24.fault('app.info', { status: 401, body: { error: 'expired_token' }, delayMs: 500, times: 1 })
  const older = portal.install(world.eventsUrl, { ts: now() - 50 })
  await until(() => world.b24.requests.length > 0, 'the pair is asked about')
  const copy = { url: world.eventsUrl, auth: tokensOf(portal.installer!), fields: { ts: String(now() - 40) } }
  t.equal((await portal.send('ONAPPINSTALL', { VERSION: '1' }, copy)).statusCode, 200)
  t.equal((await older).statusCode, 200)
  t.equal(await works(world, portal), 'works')
})

t.test('an uninstall is handled once, until the app is installed again', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const heard: string[] = []
  world.app.bitrix24.onAny(({ code }) => { heard.push(code) })
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.eventsUrl, { ts: now() - 50 })
  const first = await portal.uninstall({ ts: now() - 40 })
  for (let i = 0; i < 3; i++) t.equal((await first.repeat()).statusCode, 200)
  t.strictSame(heard, ['ONAPPINSTALL', 'ONAPPUNINSTALL'])
  await portal.reinstall({ ts: now() - 30 })
  await portal.uninstall({ ts: now() - 20 })
  t.strictSame(heard.slice(2), ['ONAPPINSTALL', 'ONAPPUNINSTALL'])
})

t.test('a token that leaked is revoked at once, and comes back with an install', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.eventsUrl, { ts: now() - 50 })
  t.equal(await world.app.bitrix24.revokeToken(portal.memberId), true)
  t.equal((await portal.send('onCrmDealAdd', DEAL)).statusCode, 403)
  t.equal(await works(world, portal), 'works', 'the OAuth tokens stay')
  await portal.reinstall({ ts: now() - 10 })
  t.equal((await portal.send('onCrmDealAdd', DEAL)).statusCode, 200)
  t.equal(await world.app.bitrix24.revokeToken('unknown'), false)
})

t.test('a wrong clientSecret is logged at the first install', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  world.b24.app({ clientId: world.clientId, clientSecret: secret() })
  await world.b24.portal('acme.bitrix24.com').install(world.eventsUrl)
  for (let i = 0; i < 500 && (await world.app.bitrix24.health()).appKeys === 'unknown'; i++) await new Promise(resolve => setTimeout(resolve, 20))
  t.equal((await world.app.bitrix24.health()).appKeys, 'refused')
  t.ok(world.logs.some(line => line.includes('OAuth server rejected the app credentials')))
})

t.test('what a portal denies one user is tried once as the other', async t => {
  const world = await buildWorld(t, { delivery: { mode: 'inline' } })
  const portal = world.b24.portal('acme.bitrix24.com')
  await portal.install(world.eventsUrl, { ts: now() - 50 })
  await portal.userReady()
  portal.user(1000, { admin: false })
  portal.fault('user.current', { status: 403, body: { error: 'ACCESS_DENIED', error_description: 'Access denied!' }, times: 1 })
  const known = (await world.app.bitrix24.portal(portal.memberId))!
  t.match(await known.call('user.current'), { ID: /^1$/ })
  portal.fault('user.current', { status: 403, body: { error: 'ACCESS_DENIED', error_description: 'Access denied!' } })
  await t.rejects(known.call('user.current'), { code: 'FST_B24_PORTAL_CALL', portalCode: 'ACCESS_DENIED' })
})
