import t, { type Test } from 'tap'
import type { FastifyBitrix24Options, InstallStore, LifecycleHookName, RejectReason, StoredInstall } from '../../../src/index.ts'
import type { Fault, SimulatedPair, SimulatedPortal } from '../../../src/testing/index.ts'
import { buildWorld, type World } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'

/** A world that handles events before the answer, so that each response contains the outcome, and writes down every lifecycle hook. */
async function watchedWorld (t: Test, options: Partial<FastifyBitrix24Options> = {}) {
  const world = await buildWorld(t, { delivery: { mode: 'inline' }, ...options })
  const calls: Array<[name: LifecycleHookName, fact: Record<string, unknown>]> = []
  for (const name of ['onInstall', 'onUpdate', 'onUninstall', 'onUserReady', 'onReject', 'onHandlerError'] as const) {
    world.app.bitrix24.addHook(name, (fact: object) => { calls.push([name, { ...fact }]) })
  }
  return { ...world, calls, portal: world.b24.portal('acme.bitrix24.com') }
}

async function stateOf ({ app }: Pick<World, 'app'>, { memberId }: Pick<SimulatedPortal, 'memberId'>): Promise<string | undefined> {
  return (await app.bitrix24.portal(memberId))?.state
}

t.test('an install is stored, its hook runs, and its portal is usable', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, app, calls, b24 } = world
  const heard: unknown[] = []
  app.bitrix24.on('onAppInstall', event => { heard.push(event.data.VERSION) })

  t.equal((await portal.install(eventsUrl)).statusCode, 200)

  t.match(await app.bitrix24.portal(portal.memberId), {
    memberId: portal.memberId, domain: 'acme.bitrix24.com', state: 'active', scope: portal.scope, status: 'F', version: '1', userId: 1, clientEndpoint: portal.clientEndpoint
  })
  t.match(calls, [['onInstall', { reinstall: false, portal: { domain: 'acme.bitrix24.com' } }]])
  t.strictSame(heard, ['1'], 'on() hears of it too')
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } })).statusCode, 200)
  t.match(b24.requests.map(request => request.path), [/app\.info/], 'the OAuth server was asked once')
})

t.test('the life of an install', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, calls } = world
  const now = Math.floor(Date.now() / 1000)

  t.equal((await portal.install(eventsUrl, { ts: now - 50 })).statusCode, 200)
  t.equal((await portal.update({ ts: now - 40 })).statusCode, 200)
  t.equal((await portal.userReady({ ts: now - 40 })).statusCode, 200)
  t.equal((await portal.uninstall({ clean: true, ts: now - 30 })).statusCode, 200)
  t.equal(await stateOf(world, portal), 'uninstalled')
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } })).statusCode, 403, 'it has no rights any more')
  t.equal((await portal.uninstall({ ts: now - 30 })).statusCode, 200, 'a repeated uninstall is known')
  t.equal((await portal.reinstall({ ts: now - 20 })).statusCode, 200)
  t.equal((await portal.uninstall({ ts: now - 30 })).statusCode, 200, 'an old uninstall is taken')
  t.equal(await stateOf(world, portal), 'active', 'and changes nothing')

  t.match(calls, [
    ['onInstall', { reinstall: false }],
    ['onUpdate', { version: '2', previousVersion: '1' }],
    ['onUserReady', { userId: 1000 }],
    ['onUninstall', { clean: true, portal: { state: 'uninstalled' } }],
    ['onReject', { reason: 'uninstalled' }],
    ['onInstall', { reinstall: true }]
  ])
  t.equal(calls.length, 6)
})

t.test('a forged install is refused and leaves nothing behind', async t => {
  const world = await watchedWorld(t)
  const { portal: victim, eventsUrl, b24, app, calls } = world
  await victim.install(eventsUrl)
  const before = JSON.stringify(await app.bitrix24.portal(victim.memberId))
  const attacker = b24.portal('attacker.bitrix24.com')
  const foreign = { clientId: 'local.foreign', clientSecret: secret() }
  b24.app(foreign)
  const otherApp = victim.issue({ clientId: foreign.clientId })
  const unknown = b24.portal('unknown.bitrix24.com')

  const tokens = ({ accessToken, refreshToken }: SimulatedPair) => ({ access_token: accessToken, refresh_token: refreshToken })
  const cases: Array<[what: string, portal: SimulatedPortal, auth: Record<string, unknown>, reason: RejectReason]> = [
    ['tokens of portal A under the member_id of B', attacker, { member_id: victim.memberId }, 'other_portal'],
    ['the same with the right application_token of B', attacker, { member_id: victim.memberId, application_token: victim.applicationToken }, 'other_portal'],
    ['tokens of another app', victim, { ...tokens(otherApp), application_token: secret() }, 'other_app'],
    ['tokens that nobody issued', unknown, { access_token: secret(), refresh_token: secret() }, 'token_refused'],
    ['an OAuth server of the attacker', attacker, { server_endpoint: 'https://oauth.attacker.example/rest/' }, 'server_not_allowed'],
    ['no tokens', unknown, { access_token: null, refresh_token: null }, 'no_tokens'],
    ['tokens that are maps', unknown, { access_token: { a: 'b' }, refresh_token: { a: 'b' } }, 'no_tokens'],
    ['no application_token', unknown, { application_token: null }, 'no_tokens'],
    ['another user', unknown, { user_id: 77 }, 'other_user']
  ]
  for (const [what, portal, auth, reason] of cases) {
    calls.length = 0
    const { statusCode, body } = await portal.install(eventsUrl, { auth })
    t.equal(statusCode, 403, what)
    t.match(JSON.parse(body), { code: 'FST_B24_FORBIDDEN' }, what)
    t.match(calls, [['onReject', { reason }]], what)
  }
  t.equal(JSON.stringify(await app.bitrix24.portal(victim.memberId)), before, 'the victim is as it was')
  t.equal(await stateOf(world, unknown), undefined)
  t.equal(await stateOf(world, attacker), undefined)
  t.equal((await victim.send('onCrmDealAdd', { FIELDS: { ID: 7 } })).statusCode, 200)
})

t.test('an install is not accepted while the OAuth server is unavailable', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, b24 } = world
  const cases: Array<[what: string, fault: Fault, statusCode: number]> = [
    ['not JSON', { body: '<html>busy</html>' }, 503],
    ['500', { status: 500, body: '{}' }, 503],
    ['a redirect', { status: 302 }, 503],
    ['unexpectedResponse', { body: '{"result":{}}' }, 503],
    ['200 with an error it does not document', { body: '{"error":"moon_phase"}' }, 503],
    ['200 with wrong_client', { body: '{"error":"wrong_client","error_description":"no"}' }, 403],
    ['200 with NOT_INSTALLED', { body: '{"error":"NOT_INSTALLED"}' }, 403],
    ['PAYMENT_REQUIRED', { status: 401, body: '{"error":"PAYMENT_REQUIRED"}' }, 403]
  ]
  for (const [what, fault, statusCode] of cases) {
    b24.fault('app.info', fault)
    t.equal((await portal.install(eventsUrl)).statusCode, statusCode, what)
    t.equal(await stateOf(world, portal), undefined, `${what}: nothing is stored`)
    b24.clearFaults()
  }
  t.equal((await portal.install(eventsUrl)).statusCode, 200, 'and is taken once it can')
})

t.test('a query to a hanging OAuth server times out', { timeout: 20_000 }, async t => {
  const world = await watchedWorld(t)
  world.b24.fault('app.info', { hang: true })
  const { statusCode, body } = await world.portal.install(world.eventsUrl)
  t.equal(statusCode, 503)
  t.match(JSON.parse(body), { code: 'FST_B24_OAUTH_UNAVAILABLE' })
  t.equal(await stateOf(world, world.portal), undefined)
})

t.test('closing aborts a hanging verification', async t => {
  const { app, b24, portal, eventsUrl } = await watchedWorld(t)
  b24.fault('app.info', { hang: true })
  const answer = portal.install(eventsUrl)
  while (b24.requests.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
  const before = Date.now()
  await app.close()
  await answer
  t.ok(Date.now() - before < 3000)
})

t.test('an install that waited for hours is verified by its refresh token', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl } = world
  t.equal((await portal.install(eventsUrl, { lateSeconds: 7200 })).statusCode, 200)
  t.equal(await stateOf(world, portal), 'active')
})

t.test('an uninstall right after the install counts', async t => {
  const world = await watchedWorld(t)
  await world.portal.install(world.eventsUrl)
  t.equal((await world.portal.uninstall()).statusCode, 200)
  t.equal(await stateOf(world, world.portal), 'uninstalled')
})

t.test('an uninstall needs the token of the portal', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, b24, calls } = world
  await portal.install(eventsUrl)
  calls.length = 0
  t.equal((await portal.uninstall({ auth: { application_token: secret() } })).statusCode, 403)
  t.equal(await stateOf(world, portal), 'active')
  t.equal((await b24.portal('nobody.bitrix24.com').uninstall({ url: eventsUrl })).statusCode, 403)
  t.match(calls, [['onReject', { reason: 'wrong_token' }], ['onReject', { reason: 'unknown_portal' }]])
})

t.test('a verified install may bring a new token; the old one stays good for a while', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl } = world
  const now = Math.floor(Date.now() / 1000)
  await portal.install(eventsUrl, { ts: now - 10 })
  const old = portal.applicationToken
  portal.applicationToken = secret()
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } })).statusCode, 403, 'not before')
  t.equal((await portal.reinstall()).statusCode, 200)
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } })).statusCode, 200, 'the new one')
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } }, { auth: { application_token: old } })).statusCode, 200, 'events on their way')
})

t.test('an update without a user brings no pair, and its token is enough', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, b24 } = world
  const now = Math.floor(Date.now() / 1000)
  await portal.install(eventsUrl, { ts: now - 10 })
  const asked = b24.requests.length
  t.equal((await portal.update({ auth: { access_token: null, refresh_token: null } })).statusCode, 200)
  t.equal(b24.requests.length, asked)
  t.match(await world.app.bitrix24.portal(portal.memberId), { version: '2' })
  t.equal((await portal.update({ auth: { access_token: null, refresh_token: null, application_token: secret() } })).statusCode, 403)
  t.equal((await portal.update({ auth: { access_token: secret() } })).statusCode, 403, 'a pair that is there must be genuine')
})

t.test('the system user may be ready before the install arrives', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, calls } = world
  t.equal((await portal.userReady({ url: eventsUrl })).statusCode, 200)
  t.equal(await stateOf(world, portal), 'active')
  t.match(calls, [['onInstall', { reinstall: false }], ['onUserReady', { userId: 1000 }]])
  t.equal((await portal.userReady({ url: eventsUrl, auth: { application_token: secret(), access_token: secret() } })).statusCode, 403)
  t.equal((await portal.userReady({ url: eventsUrl, data: { access_token: secret() } })).statusCode, 403, 'its own pair is checked too')
})

t.test('a portal on a private address is refused unless allowed', async t => {
  const world = await watchedWorld(t, { allowPrivateNetworks: false })
  t.equal((await world.portal.install(world.eventsUrl)).statusCode, 403)
  t.match(world.calls, [['onReject', { reason: 'private_address' }]])
  const install = { client_endpoint: 'https://acme.bitrix24.com/rest/', member_id: world.portal.memberId }
  world.b24.fault('app.info', { body: { result: { client_id: world.clientId, install } } })
  const { statusCode, body } = await world.portal.install(world.eventsUrl)
  t.equal(statusCode, 503, 'a public one is asked')
  t.match(JSON.parse(body), { code: 'FST_B24_PORTAL_UNAVAILABLE' })
})

t.test('many installs of one portal at once end in one', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl } = world
  const answers = await Promise.all(Array.from({ length: 3 }, () => portal.install(eventsUrl)))
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
  t.equal(await stateOf(world, portal), 'active')
  t.equal(world.calls.filter(([name, fact]) => name === 'onInstall' && fact['reinstall'] === false).length, 1)
})

t.test('a lifecycle hook that throws is logged, reported and answered with 500; the install is stored', async t => {
  const world = await watchedWorld(t)
  const { app, portal, eventsUrl, calls, logs } = world
  app.bitrix24.addHook('onInstall', async () => { throw new Error('no disk') })
  app.bitrix24.addHook('onHandlerError', async () => { throw new Error('nobody hears') })
  const { statusCode, body } = await portal.install(eventsUrl)
  t.equal(statusCode, 500)
  t.match(JSON.parse(body), { code: 'FST_B24_HANDLER_FAILED' })
  t.match(calls, [['onInstall', {}], ['onHandlerError', { hook: 'onInstall', error: { message: 'no disk' } }]])
  t.equal(await stateOf(world, portal), 'active')
  await new Promise(resolve => setImmediate(resolve))
  t.ok(logs.some(line => line.includes('nobody hears')), 'a failing onHandlerError is logged')
})

t.test('a store that rejects every write results in 503', async t => {
  const world = await watchedWorld(t, {
    store: {
      get: async () => undefined,
      swap: async () => false,
      scan: async () => ({ installs: [] })
    }
  })
  t.equal((await world.portal.install(world.eventsUrl)).statusCode, 503)
})

t.test('lifecycle events with arbitrary data get a regular response', async t => {
  const { app, portal, eventsUrl } = await watchedWorld(t)
  await portal.install(eventsUrl)
  const odd = [{ x: '1' }, ['1'], 'x'.repeat(10_000), '']
  const answers = []
  for (const event of ['ONAPPINSTALL', 'ONAPPUPDATE', 'ONAPPUSERREADY', 'ONAPPUNINSTALL']) {
    for (const value of odd) {
      const data = Object.fromEntries(['CLEAN', 'VERSION', 'PREVIOUS_VERSION', 'user_id', 'access_token', 'refresh_token', 'server_endpoint'].map(key => [key, value]))
      for (const token of [portal.applicationToken, secret()]) {
        answers.push(await portal.send(event, {}, { data, auth: { application_token: token, refresh_token: secret() } }))
        answers.push(await portal.send(event, null, { user: null, fields: { data: value }, auth: { application_token: token } }))
      }
    }
  }
  t.strictSame(answers.filter(({ statusCode }) => ![200, 400, 403].includes(statusCode)).map(({ body }) => body), [])
  for await (const { version } of app.bitrix24.portals()) t.ok((version ?? '').length <= 64, 'no long text is kept')
})

t.test('a reinstall is accepted regardless of the time in a replayed uninstall', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl } = world
  const now = Math.floor(Date.now() / 1000)
  await portal.install(eventsUrl, { ts: now - 50 })
  await portal.uninstall({ ts: now - 20 })
  t.equal((await portal.uninstall({ ts: null })).statusCode, 200)
  t.equal((await portal.reinstall({ ts: now - 30 })).statusCode, 200)
  t.equal(await stateOf(world, portal), 'active')
  t.equal((await portal.uninstall({ ts: now - 20 })).statusCode, 200, 'the old one again')
  t.equal(await stateOf(world, portal), 'active')
})

t.test('a user who does not know the token cannot push out the one that the portal uses', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl } = world
  const now = Math.floor(Date.now() / 1000)
  portal.user(42, { admin: true })
  await portal.install(eventsUrl, { ts: now - 50 })
  for (const ts of [now - 40, now - 30]) {
    t.equal((await portal.install(eventsUrl, { user: 42, ts, auth: { application_token: secret() } })).statusCode, 200)
  }
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } })).statusCode, 200)
  t.match(await world.app.bitrix24.portal(portal.memberId), { userId: 1 }, 'nor take the place of the installer')
})

t.test('accepts lifecycle events with minimal data', async t => {
  const world = await watchedWorld(t)
  const { portal, eventsUrl, b24, clientId, calls, app } = world
  const install = { client_endpoint: portal.clientEndpoint, member_id: portal.memberId }
  b24.fault('app.info', { body: { result: { client_id: clientId, install } }, times: 1 })
  t.equal((await portal.install(eventsUrl, { ts: null, fields: { data: null } })).statusCode, 200, 'no time, no data, no user known')
  t.match(await app.bitrix24.portal(portal.memberId), { userId: undefined, version: undefined })
  const body = JSON.stringify({ event: 'ONAPPUPDATE', data: { VERSION: 3, PREVIOUS_VERSION: 2 }, auth: { member_id: portal.memberId, application_token: portal.applicationToken } })
  t.equal((await portal.update({ body, headers: { 'content-type': 'application/json' } })).statusCode, 200, 'numbers, as in JSON')
  t.match(calls, [['onInstall', {}], ['onUpdate', { version: '3', previousVersion: '2' }]])
  t.equal((await portal.send('ONAPPUSERREADY')).statusCode, 403, 'a system user without tokens is none')
  t.match(calls.at(-1), ['onReject', { reason: 'no_tokens' }])
})

t.test('a system user of a portal that is gone by then is refused', async t => {
  const records = new Map<string, StoredInstall>()
  let forgets = false
  const store: InstallStore = {
    get: async memberId => forgets ? undefined : records.get(memberId),
    swap: async (memberId, version, install) => {
      const known = records.get(memberId)
      const uninstalls = install.systemUser !== undefined && known?.install.state === 'active'
      if (uninstalls) records.set(memberId, { version: version + 1, install: { ...known.install, state: 'uninstalled' } })
      else records.set(memberId, { version: version + 1, install })
      return !uninstalls
    },
    scan: async () => ({ installs: [] })
  }
  const { portal, eventsUrl, calls, b24 } = await watchedWorld(t, { store })
  await portal.install(eventsUrl)
  t.equal((await portal.userReady()).statusCode, 403)
  t.match(calls.at(-1), ['onReject', { reason: 'uninstalled' }])
  forgets = true
  t.equal((await b24.portal('new.bitrix24.com').userReady({ url: eventsUrl })).statusCode, 403)
  t.match(calls.at(-1), ['onReject', { reason: 'unknown_portal' }])
})
