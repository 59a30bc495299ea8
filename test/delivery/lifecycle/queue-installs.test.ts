import t, { type Test } from 'tap'
import type { DeliveryOptions, FastifyBitrix24Options } from '../../../src/index.ts'
import { waitForIdle } from '../../../src/testing/index.ts'
import { buildApp, buildWorld } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'
import { STORAGES } from '../../helpers/storages.ts'
import { until } from '../../helpers/until.ts'

t.setTimeout(120_000)

const QUICK: DeliveryOptions = { backoffMs: 5, attempts: 3, stalledAfterMs: 2000 }
const AWAY = { status: 500, body: '{}' }

for (const { storage, options } of STORAGES) {
  t.test(`installs after the answer, ${storage}`, { timeout: 120_000 }, async t => {
    const watchedWorld = async (t: Test, more: Partial<FastifyBitrix24Options> = {}) => {
      const world = await buildWorld(t, { ...options(t), delivery: QUICK, ...more })
      const { bitrix24 } = world.app
      const calls: Array<[name: string, fact: Record<string, unknown>]> = []
      for (const name of ['onInstall', 'onUpdate', 'onUninstall', 'onUserReady', 'onReject'] as const) {
        bitrix24.addHook(name, (fact: object) => { calls.push([name, { ...fact }]) })
      }
      const heard: number[] = []
      bitrix24.on('onCrmDealAdd', event => { heard.push(event.data.FIELDS.ID) })
      const portal = world.b24.portal('acme.bitrix24.com')
      const stateOf = async (memberId = portal.memberId) => (await bitrix24.portal(memberId))?.state
      const sendDeal = async (ID: number, overrides = {}) => (await portal.send('onCrmDealAdd', { FIELDS: { ID } }, { url: world.eventsUrl, ...overrides })).statusCode
      return { ...world, bitrix24, calls, heard, portal, stateOf, sendDeal }
    }

    t.test('an install is verified after the response, then its hook runs', async t => {
      const { bitrix24, portal, eventsUrl, calls, stateOf, b24 } = await watchedWorld(t)
      t.equal((await portal.install(eventsUrl, { ts: Math.floor(Date.now() / 1000) - 20 })).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal(await stateOf(), 'active')
      t.match(calls, [['onInstall', { reinstall: false, portal: { domain: 'acme.bitrix24.com' } }]])
      t.equal(b24.requests.filter(({ path }) => path.includes('app.info')).length, 1)
      t.equal((await portal.update()).statusCode, 200)
      t.equal((await portal.userReady()).statusCode, 200)
      await waitForIdle(bitrix24)
      t.strictSame(calls.map(([name]) => name).slice(1).sort(), ['onUpdate', 'onUserReady'])
      t.equal((await portal.uninstall({ clean: true })).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal(await stateOf(), 'uninstalled')
      t.match(calls.at(-1), ['onUninstall', { clean: true }])
    })

    t.test('an install waits for the OAuth server, and the events of its portal wait for it', async t => {
      const { bitrix24, portal, eventsUrl, calls, heard, stateOf, sendDeal, b24 } = await watchedWorld(t)
      b24.fault('app.info', AWAY)
      t.equal((await portal.install(eventsUrl)).statusCode, 200)
      t.equal(await sendDeal(1), 200)
      t.equal(await sendDeal(2, { auth: { application_token: secret() } }), 403, 'another token')
      await until(() => b24.requests.length >= 2, 'asked again')
      t.equal(await stateOf(), undefined)
      t.strictSame(heard, [])
      b24.clearFaults()
      await waitForIdle(bitrix24, 30_000)
      t.equal(await stateOf(), 'active')
      t.strictSame(heard, [1])
      t.match(calls.filter(([name]) => name === 'onInstall'), [['onInstall', { reinstall: false }]])
      t.match(await bitrix24.health(), { events: { rejected: 1, failedAttempts: 0, dead: 0 } })
    })

    t.test('a late install whose refresh is in progress at close is verified anyway', async t => {
      const { app, portal, eventsUrl, b24, calls, options: given } = await watchedWorld(t)
      b24.fault('token', { delayMs: 500, times: 1 })
      t.equal((await portal.install(eventsUrl, { lateSeconds: 7200 })).statusCode, 200)
      await until(() => b24.requests.some(({ grantType }) => grantType !== undefined), 'the refresh is asked for')
      await app.close()
      const next = await buildApp(t, given)
      const reported: string[] = []
      next.app.bitrix24.addHook('onInstall', () => { reported.push('onInstall') })
      await next.app.ready()
      await waitForIdle(next.app.bitrix24)
      t.equal((await next.app.bitrix24.portal(portal.memberId))?.state, 'active')
      t.strictSame([...calls.map(([name]) => name), ...reported], ['onInstall'])
      t.match(await next.app.bitrix24.health(), { queue: { dead: 0 }, events: { rejected: 0 } })
    })

    t.test('a late install whose refresh response was lost becomes a dead letter, and so do its quarantined events', async t => {
      const { bitrix24, portal, eventsUrl, b24, sendDeal, calls, heard } = await watchedWorld(t)
      b24.fault('token', AWAY)
      t.equal((await portal.install(eventsUrl, { lateSeconds: 7200 })).statusCode, 200)
      t.equal(await sendDeal(1), 200)
      await until(() => b24.requests.some(({ grantType }) => grantType !== undefined), 'the refresh is asked for')
      b24.fault('app.info', { status: 400, body: { error: 'invalid_client' } })
      await until(async () => (await bitrix24.health()).queue?.dead === 2, '2 dead', 30_000)
      const { items } = await bitrix24.deadLetters.list()
      t.strictSame(items.map(({ name, error }) => [name, error.code]).sort(), [['onAppInstall', 'FST_B24_INSTALL_LOST'], ['onCrmDealAdd', 'FST_B24_INSTALL_LOST']])
      t.strictSame([calls, heard], [[], []])
      b24.clearFaults()
      t.equal((await portal.reinstall()).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal(await bitrix24.deadLetters.replay({ event: 'onCrmDealAdd' }), 1)
      await waitForIdle(bitrix24)
      t.strictSame(heard, [1], 'once the app is installed, it can be replayed')
    })

    t.test('a forged install drops its quarantined events and leaves nothing behind', async t => {
      const { bitrix24, portal, eventsUrl, calls, heard, stateOf, sendDeal, b24 } = await watchedWorld(t)
      b24.fault('app.info', AWAY)
      const forged = { application_token: secret(), access_token: secret(), refresh_token: secret() }
      t.equal((await portal.install(eventsUrl, { auth: forged })).statusCode, 200)
      const asSender = { auth: { application_token: forged.application_token } }
      t.equal(await sendDeal(1, asSender), 200)
      t.equal((await portal.uninstall({ url: eventsUrl, ...asSender })).statusCode, 200)
      b24.clearFaults()
      await waitForIdle(bitrix24, 30_000)
      t.equal(await stateOf(), undefined)
      t.strictSame(heard, [])
      t.strictSame(calls.map(([name, { reason }]) => [name, reason]).sort(), [
        ['onReject', 'token_refused'], ['onReject', 'unknown_portal'], ['onReject', 'unknown_portal']
      ])
      t.equal(await sendDeal(2, asSender), 403, 'nothing is open any more')
      for await (const known of bitrix24.portals()) t.fail(`${known.domain} is kept`)
    })

    t.test('a forged install does not change an installed portal', async t => {
      const { bitrix24, portal, eventsUrl, heard, sendDeal, b24 } = await watchedWorld(t)
      await portal.install(eventsUrl)
      await waitForIdle(bitrix24)
      const before = JSON.stringify(await bitrix24.portal(portal.memberId))
      const attacker = b24.portal('attacker.bitrix24.com')
      t.equal((await attacker.install(eventsUrl, { auth: { member_id: portal.memberId } })).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal(JSON.stringify(await bitrix24.portal(portal.memberId)), before)
      t.equal(await sendDeal(1), 200)
      t.equal(await sendDeal(2, { auth: { application_token: attacker.applicationToken } }), 403)
      await waitForIdle(bitrix24)
      t.strictSame(heard, [1])
    })

    t.test('an install that cannot be verified at all is rejected at once', async t => {
      const { portal, eventsUrl, calls } = await watchedWorld(t)
      for (const [auth, reason] of [
        [{ access_token: null }, 'no_tokens'],
        [{ application_token: null }, 'no_tokens'],
        [{ server_endpoint: 'https://oauth.attacker.example/rest/' }, 'server_not_allowed']
      ] as const) {
        t.equal((await portal.install(eventsUrl, { auth })).statusCode, 403, reason)
        t.match(calls.pop(), ['onReject', { reason }])
      }
      t.equal((await portal.userReady({ url: eventsUrl, auth: { access_token: null } })).statusCode, 403)
      t.equal((await portal.send('ONAPPUSERREADY', null, { url: eventsUrl })).statusCode, 403)
    })

    t.test('an install that was answered with 200 and dropped is logged as a warning with the option that would accept it', async t => {
      const { bitrix24, portal, eventsUrl, logs } = await watchedWorld(t, { allowPrivateNetworks: false })
      t.equal((await portal.install(eventsUrl)).statusCode, 200)
      t.equal((await portal.install(eventsUrl, { auth: { access_token: secret() } })).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal((await portal.install(eventsUrl, { auth: { server_endpoint: 'https://oauth.elsewhere.example/rest/' } })).statusCode, 403)
      const { memberId } = portal
      const refused = logs.filter(line => line.includes('install rejected')).map(line => JSON.parse(line)).sort((a, b) => a.reason < b.reason ? -1 : 1)
      t.match(refused, [
        { level: 40, reason: 'private_address', memberId, msg: /set allowPrivateNetworks/ },
        { level: 40, reason: 'token_refused', memberId, msg: /^install rejected$/ }
      ])
      await portal.send('onCrmDealAdd', { FIELDS: { ID: 1 } }, { url: eventsUrl })
      const unverified = logs.filter(line => line.includes('unverified request rejected')).map(line => JSON.parse(line))
      t.match(unverified, [{ level: 30, reason: 'server_not_allowed', msg: /oauthServers/ }, { level: 30, reason: 'unknown_portal' }], 'strangers are no warning')
    })

    t.test('a failed onInstall is run again, though the install is stored', async t => {
      const { bitrix24, portal, eventsUrl, calls, stateOf } = await watchedWorld(t)
      let runs = 0
      bitrix24.addHook('onInstall', async () => { if (++runs < 3) throw new Error('no disk') })
      bitrix24.on('onAppInstall', async event => { calls.push(['on', { attempt: event.attempt }]) })
      t.equal((await portal.install(eventsUrl)).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal(await stateOf(), 'active')
      t.equal(runs, 3)
      t.strictSame(calls.map(([name]) => name), ['onInstall', 'on'], 'what has succeeded is not')
    })

    t.test('a lifecycle event that died is replayed: the hooks that failed run, and no others', async t => {
      const { bitrix24, portal, eventsUrl, calls } = await watchedWorld(t)
      let fails = true
      const ran: string[] = []
      for (const name of ['onInstall', 'onUninstall'] as const) {
        bitrix24.addHook(name, async ({ portal }: { portal: { state: string } }) => {
          if (fails) throw new Error('no disk')
          ran.push(`${name} ${portal.state}`)
        })
      }
      t.equal((await portal.install(eventsUrl)).statusCode, 200)
      await until(async () => (await bitrix24.health()).queue?.dead === 1, '1 dead')
      fails = false
      t.equal(await bitrix24.deadLetters.replay({}), 1)
      await waitForIdle(bitrix24)
      t.strictSame(ran, ['onInstall active'])
      fails = true
      t.equal((await portal.uninstall()).statusCode, 200)
      await until(async () => (await bitrix24.health()).queue?.dead === 1, '1 dead')
      fails = false
      const [deadLetter] = (await bitrix24.deadLetters.list()).items
      t.equal(await bitrix24.deadLetters.replay(deadLetter!.id), 1)
      await waitForIdle(bitrix24)
      t.strictSame(ran, ['onInstall active', 'onUninstall uninstalled'])
      t.strictSame(calls.map(([name]) => name), ['onInstall', 'onUninstall'], 'each once')
    })

    t.test('a portal that removes the app before its install is confirmed was never installed', async t => {
      const { bitrix24, portal, eventsUrl, stateOf, calls, b24 } = await watchedWorld(t)
      b24.fault('app.info', AWAY)
      t.equal((await portal.install(eventsUrl)).statusCode, 200)
      t.equal((await portal.uninstall({ url: eventsUrl })).statusCode, 200)
      b24.clearFaults()
      await waitForIdle(bitrix24, 30_000)
      t.equal(await stateOf(), undefined)
      t.strictSame(calls.map(([, { reason }]) => reason).sort(), ['not_installed', 'unknown_portal'])
    })

    t.test('an event may overtake the install and the system user', async t => {
      const { bitrix24, portal, eventsUrl, heard, stateOf, sendDeal } = await watchedWorld(t)
      t.equal((await portal.userReady({ url: eventsUrl })).statusCode, 200)
      t.equal(await sendDeal(1), 200)
      t.equal((await portal.install(eventsUrl)).statusCode, 200)
      await waitForIdle(bitrix24)
      t.equal(await stateOf(), 'active')
      t.strictSame(heard, [1])
    })
  })
}
