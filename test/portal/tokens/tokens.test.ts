import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { InstallStore } from '../../../src/storage/install-store.ts'
import { createEncryptor } from '../../../src/oauth/encryption.ts'
import { storeUnavailable } from '../../../src/storage/unavailable.ts'
import type { Fault, SimulatedPortal } from '../../../src/testing/index.ts'
import { temporaryFolder } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'
import { TokenWorld } from '../../helpers/token-world.ts'
import { until } from '../../helpers/until.ts'

const REAUTH = { code: 'FST_B24_REAUTH_REQUIRED', statusCode: 502 }
const UNAVAILABLE = { code: 'FST_B24_OAUTH_UNAVAILABLE', statusCode: 503 }
const STORE_AWAY = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }
const BRIEF = { graceMs: 100 }

async function openWorld (t: Test): Promise<{ world: TokenWorld, acme: SimulatedPortal }> {
  const world = await TokenWorld.open(t, { dataDir: temporaryFolder(t) })
  return { world, acme: world.b24.portal('acme.bitrix24.com') }
}

/** Wraps a store with hooks that run before its methods. */
function storeWith (store: InstallStore, before: Partial<InstallStore>): InstallStore {
  return {
    get: before.get ?? (memberId => store.get(memberId)),
    swap: before.swap ?? ((...args) => store.swap(...args)),
    scan: cursor => store.scan(cursor)
  }
}

t.test('a token valid for a minute costs one read and no request', async t => {
  const { world, acme } = await openWorld(t)
  const install = await world.install(acme, { expired: false })
  let reads = 0
  const store = storeWith(world.place.store, { get: (memberId) => { reads++; return world.place.store.get(memberId) } })
  const access = await world.tokens(t, { store }).access(acme.memberId)
  t.equal(reads, 1)
  t.equal(world.b24.requests.length, 0)
  t.match(access, {
    memberId: acme.memberId,
    domain: 'acme.bitrix24.com',
    clientEndpoint: acme.clientEndpoint,
    oauthServer: world.b24.oauthServer,
    accessToken: await world.keptToken(acme),
    expiresAt: install.installer!.expiresAt,
    userId: 1,
    generation: 1,
    owner: 'installer'
  })
})

t.test('refreshes a token with less, and stores the new pair before returning it', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme, { expired: false })
  world.aheadMs = 59 * 60_000 + 30_000
  const access = await world.tokens(t).access(acme.memberId)
  t.equal(world.refreshes, 1)
  t.equal(access.generation, 2)
  t.equal(access.accessToken, await world.keptToken(acme))
  const { installer, generation, state } = await world.record(acme)
  t.match({ installer, generation, state }, { installer: { generation: 2, userId: 1, expiresAt: access.expiresAt }, generation: 2, state: 'active' })
  t.ok(Math.abs(installer!.refreshedAt! - world.now()) < 10_000)
  t.strictSame(world.b24.requests.flatMap(({ inUrl }) => inUrl), [], 'no secret in a URL')
})

t.test('concurrent callers share one refresh', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const beta = world.b24.portal('beta.bitrix24.com')
  await world.install(beta)
  const [one, other] = [world.tokens(t), world.tokens(t)]
  const asked = Array.from({ length: 200 }, async (_, i) => await (i % 3 === 0 ? other : one).access(acme.memberId))
  const beside = one.access(beta.memberId)
  t.equal(new Set((await Promise.all(asked)).map(({ accessToken }) => accessToken)).size, 1)
  t.equal((await beside).memberId, beta.memberId)
  t.equal(world.refreshes, 2, 'one for each portal')
})

t.test('refreshes a token the portal refused once, whatever its expiry', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme, { expired: false })
  const tokens = world.tokens(t)
  const refused = await tokens.access(acme.memberId)
  const renewed = await Promise.all(Array.from({ length: 50 }, () => tokens.renew(refused)))
  t.equal(world.refreshes, 1)
  t.strictSame([...new Set(renewed.map(({ generation }) => generation))], [2])
  t.equal((await tokens.renew(refused)).generation, 2, 'a newer one is there already')
  t.equal(world.refreshes, 1)
})

t.test('a caller that shares a refresh returning the refused token starts another', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const [slow, quick] = [world.tokens(t), world.tokens(t)]
  const lift = world.b24.fault('token', { answerDelayMs: 300, times: 1 })
  const first = quick.access(acme.memberId)
  await until(() => world.refreshes === 1, 'it is asked')
  const waiting = slow.access(acme.memberId)
  const refused = { ...await first }
  const renewed = await slow.renew(refused)
  lift()
  t.equal((await waiting).memberId, acme.memberId)
  t.equal(renewed.generation, 3)
  t.equal(world.refreshes, 2)
})

const CONFIG = { code: 'FST_B24_APP_KEYS', statusCode: 500 }
const PAY = { code: 'FST_B24_PORTAL_SUSPENDED', statusCode: 503 }
const GONE = { code: 'FST_B24_PORTAL_GONE', statusCode: 502 }

t.test('handles every error of the OAuth server', async t => {
  type Meaning = [error: { code: string, statusCode: number }, state: string, reported: string[], again: number]
  const lost: Meaning = [REAUTH, 'reauth_required', ['reauthRequired'], 0]
  const unpaid: Meaning = [PAY, 'suspended', ['suspended'], 0]
  const gone: Meaning = [GONE, 'suspended', ['suspended'], 0]
  const config: Meaning = [CONFIG, 'active', [], 0]
  const says = (status: number, error: string): Fault => ({ status, body: { error, error_description: 'x' } })
  // Documented errors with their HTTP status.
  const documented: Array<[status: number, error: string, meaning: Meaning]> = [
    [400, 'invalid_grant', lost],
    [400, 'bad_verification_code', lost],
    [401, 'NO_AUTH_FOUND', lost],
    [401, 'PAYMENT_REQUIRED', unpaid],
    [401, 'NOT_INSTALLED', gone],
    [410, 'PORTAL_DELETED', gone],
    [200, 'wrong_client', config],
    [400, 'invalid_client', config],
    [401, 'invalid_client', config],
    [400, 'invalid_request', config],
    [403, 'insufficient_scope', config],
    [403, 'invalid_scope', config]
  ]
  const table: Array<[fault: Fault, ...Meaning]> = [
    // The code matters, in any case; the status does not, even if it is 200.
    ...documented.flatMap(([status, error, meaning]): Array<[Fault, ...Meaning]> => [
      [says(status, error), ...meaning],
      [says(200, error.toLowerCase()), ...meaning],
      [says(400, error.toUpperCase()), ...meaning]
    ]),
    [says(401, 'invalid_token'), ...lost],
    [says(401, 'expired_token'), ...lost],
    [says(400, 'unauthorized_client'), ...config],
    [says(400, 'unsupported_grant_type'), ...config],
    [says(400, 'a_word_of_tomorrow'), UNAVAILABLE, 'active', [], 1],
    [says(200, 'a_word_of_tomorrow'), UNAVAILABLE, 'active', [], 1],
    [says(500, 'INTERNAL_SERVER_ERROR'), UNAVAILABLE, 'active', [], 1],
    [says(500, 'invalid_grant'), UNAVAILABLE, 'active', [], 1],
    [{ status: 503, body: '<html>' }, UNAVAILABLE, 'active', [], 1],
    [{ status: 404, body: 'Not found' }, UNAVAILABLE, 'active', [], 1],
    [{ body: {} }, UNAVAILABLE, 'active', [], 1],
    [{ hang: true }, UNAVAILABLE, 'active', [], 1]
  ]
  for (const [fault, error, state, reported, again] of table) {
    const name = `${fault.status ?? ''} ${JSON.stringify(fault.body)}`
    const { world, acme } = await openWorld(t)
    await world.install(acme)
    const tokens = world.tokens(t, { oauth: { timeoutMs: 150 }, times: BRIEF })
    world.b24.fault('token', fault)
    for (const outcome of await Promise.allSettled([1, 2, 3].map(() => tokens.access(acme.memberId)))) {
      t.match(outcome, { status: 'rejected', reason: error }, name)
    }
    t.equal((await world.record(acme)).state, state, name)
    t.strictSame(world.reported.map(([hook]) => hook), reported, name)
    const before = world.refreshes
    await t.rejects(tokens.access(acme.memberId), error, name)
    t.equal(world.refreshes - before, again, `${name}: asked again`)
    await tokens.close()
  }
})

const REFUSES = 'OAuth server rejected the app credentials: check clientId, clientSecret and the permissions of the app'

/** Number of log lines about rejected app credentials. */
function complaints (world: TokenWorld): number {
  return world.logs.filter(line => (line as unknown[])[0] === 'error' && (line as unknown[])[2] === REFUSES).length
}

t.test('an unknown app asks once a minute for all portals, and logs it once', async t => {
  const { world, acme } = await openWorld(t)
  const beta = world.b24.portal('beta.bitrix24.com')
  await world.install(acme)
  await world.install(beta)
  const tokens = world.tokens(t)
  const lift = world.b24.fault('token', { body: { error: 'wrong_client' } })
  for (const { memberId } of [acme, acme, beta]) await t.rejects(tokens.access(memberId), { ...CONFIG, message: /wrong_client/ })
  world.aheadMs += 44_000
  await t.rejects(tokens.access(beta.memberId), CONFIG)
  t.equal(world.refreshes, 1)
  world.aheadMs += 32_000
  await t.rejects(tokens.access(beta.memberId), CONFIG)
  await t.rejects(tokens.access(acme.memberId), CONFIG)
  t.equal(world.refreshes, 2)
  t.equal(complaints(world), 1)
  lift()
  world.aheadMs += 76_000
  t.equal((await tokens.access(acme.memberId)).generation, 2)
  world.b24.fault('token', { body: { error: 'wrong_client' } })
  await t.rejects(tokens.access(beta.memberId), CONFIG)
  t.equal(complaints(world), 2, 'it was good in between')
  t.match([await world.record(acme), await world.record(beta)], [{ state: 'active' }, { state: 'active' }])
})

t.test('a rejection about one portal does not affect others', async t => {
  const { world, acme } = await openWorld(t)
  const beta = world.b24.portal('beta.bitrix24.com')
  await world.install(acme)
  await world.install(beta)
  const tokens = world.tokens(t)
  for (const error of ['invalid_scope', 'insufficient_scope']) {
    world.b24.fault('token', { status: 400, body: { error }, times: 1 })
    await t.rejects(tokens.access(acme.memberId), CONFIG)
    const { generation } = await tokens.access(beta.memberId)
    t.ok(generation > 1)
    await t.rejects(tokens.access(acme.memberId), { ...CONFIG, message: new RegExp(error) }, 'and a good one of another portal does not help it')
    await world.expire(beta)
    world.aheadMs += 76_000
  }
  t.equal(world.refreshes, 4)
  t.equal((await tokens.access(acme.memberId)).generation, 2)
})

t.test('a rejected app retries at once after another portal gets a token', async t => {
  const { world, acme } = await openWorld(t)
  const beta = world.b24.portal('beta.bitrix24.com')
  await world.install(acme)
  await world.install(beta)
  const tokens = world.tokens(t)
  world.b24.fault('token', { answerDelayMs: 300, times: 1 })
  const slow = tokens.access(beta.memberId)
  await until(() => world.refreshes === 1, 'it is asked')
  world.b24.fault('token', { body: { error: 'wrong_client' }, times: 1 })
  await t.rejects(tokens.access(acme.memberId), CONFIG)
  await slow
  t.equal((await tokens.access(acme.memberId)).generation, 2)
})

t.test('falls back to the system user when the installer\'s pair is invalid', async t => {
  const { world, acme } = await openWorld(t)
  const { installer } = await world.install(acme, { systemUser: true })
  const tokens = world.tokens(t, { times: BRIEF, actAs: 'installer' })
  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' }, times: 1 })
  const access = await tokens.access(acme.memberId)
  t.match(access, { owner: 'systemUser', userId: 1000, generation: 3 })
  t.strictSame(world.reported, [])
  const record = await world.record(acme)
  t.match(record, { state: 'active', installer: { ...installer, isDead: true }, generation: 3 })
  await world.expire(acme)
  t.match(await tokens.access(acme.memberId), { owner: 'systemUser', generation: 4 })
  t.equal(world.refreshes, 3, 'the dead one is not tried again')

  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' }, times: 1 })
  await world.expire(acme)
  await t.rejects(tokens.access(acme.memberId), REAUTH)
  t.equal((await world.record(acme)).state, 'reauth_required')
  t.strictSame(world.reported, [['reauthRequired', acme.memberId]])

  await world.install(acme, { expired: false })
  t.match(await tokens.access(acme.memberId), { owner: 'installer', generation: 5 }, 'an install ends it')
})

t.test('uses a valid pair of the system user without a request when the installer is refused', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme, { systemUser: true, expired: false })
  const tokens = world.tokens(t, { times: BRIEF, actAs: 'installer' })
  const refused = await tokens.access(acme.memberId)
  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' } })
  t.match(await tokens.renew(refused), { owner: 'systemUser', generation: 2 })
  t.equal(world.refreshes, 1)
})

t.test('recovers an unpaid portal, retrying every few minutes at most', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const tokens = world.tokens(t)
  acme.paid = false
  await t.rejects(tokens.access(acme.memberId), PAY)
  world.aheadMs += 4 * 60_000
  await t.rejects(tokens.access(acme.memberId), PAY)
  t.equal(world.refreshes, 1)
  world.aheadMs += 2 * 60_000
  await t.rejects(tokens.access(acme.memberId), PAY)
  t.equal(world.refreshes, 2)
  t.equal((await world.record(acme)).state, 'suspended')
  acme.paid = true
  world.aheadMs += 6 * 60_000
  t.equal((await tokens.access(acme.memberId)).generation, 2)
  const { state, suspension } = await world.record(acme)
  t.strictSame({ state, suspension }, { state: 'active', suspension: undefined })
  t.strictSame(world.reported, [['suspended', acme.memberId]], 'told once')
})

t.test('keeps the record of a removed portal and recovers it', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const tokens = world.tokens(t)
  acme.deleted = true
  await t.rejects(tokens.access(acme.memberId), GONE)
  t.match(await world.record(acme), { state: 'suspended', suspension: { reason: 'uninstalled' }, installer: { generation: 1 } })
  acme.deleted = false
  world.aheadMs += 61 * 60_000
  t.equal((await tokens.access(acme.memberId)).generation, 2)
})

t.test('reports a portal without tokens', async t => {
  const { world, acme } = await openWorld(t)
  const tokens = world.tokens(t)
  await t.rejects(tokens.access(acme.memberId), { ...REAUTH, message: /not installed there, and an outgoing webhook carries no token/ })
  await world.install(acme)
  await world.change(acme, () => ({ state: 'uninstalled' }))
  await t.rejects(tokens.access(acme.memberId), GONE)
  await world.change(acme, () => ({ state: 'active', installer: { ...{ encrypted: '', expiresAt: 0 }, isDead: true } }))
  await t.rejects(tokens.access(acme.memberId), { ...REAUTH, message: /must open or reinstall the app/ })
  t.equal(world.refreshes, 0)
})

t.test('sends the client secret only to allowed servers', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const tokens = world.tokens(t, { oauth: { allowedServers: ['https://oauth.bitrix.info'] } })
  await t.rejects(tokens.access(acme.memberId), { ...CONFIG, message: /127\.0\.0\.1.*oauthServers/ })
  t.equal(world.b24.requests.length, 0)
})

t.test('discards a pair of another portal', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const body = { access_token: secret(), refresh_token: secret(), member_id: 'other', client_endpoint: 'https://x.example/rest/' }
  world.b24.fault('token', { body })
  await t.rejects(world.tokens(t).access(acme.memberId), { ...UNAVAILABLE, cause: { message: 'token pair of another portal' } })
  t.equal((await world.record(acme)).generation, 1)
})

t.test('encrypted with a missing key: no request, and the state stays', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const encryptor = createEncryptor([], secret(), 'other')
  await t.rejects(world.tokens(t, { encryptor }).access(acme.memberId), { code: 'FST_B24_DECRYPTION_FAILED' })
  t.equal(world.b24.requests.length, 0)
  t.equal((await world.record(acme)).state, 'active')
})

t.test('a refresh reports a rename', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  acme.rename('neu.bitrix24.de')
  const access = await world.tokens(t).access(acme.memberId)
  const place = { domain: 'neu.bitrix24.de', clientEndpoint: acme.clientEndpoint }
  t.match(access, place)
  t.match(await world.record(acme), { ...place, generation: 2 })
  t.strictSame(world.reported, [['renamed', acme.memberId, 'acme.bitrix24.com', 'neu.bitrix24.de']])
})

t.test('derives the new domain from the address if the server does not state it', async t => {
  const { world, acme } = await openWorld(t)
  for (const fault of [{ status: 500 }, { status: 400, body: { error: 'invalid_client' } }, appInfo({ member_id: 'other' }), appInfo({}, 'local.other')]) {
    await world.install(acme)
    const before = (await world.record(acme)).domain
    world.reported.length = 0
    world.b24.fault('app.info', { ...fault, times: 1 })
    acme.rename(`${Math.random()}.bitrix24.de`)
    const { host } = new URL(acme.clientEndpoint)
    const access = await world.tokens(t).access(acme.memberId)
    t.match(access, { domain: host, clientEndpoint: acme.clientEndpoint })
    t.strictSame(world.reported, before === host ? [] : [['renamed', acme.memberId, before, host]])
  }
})

/** Builds an `app.info` response. */
function appInfo (over: object, clientId = 'local.x'): Fault {
  return { body: { result: { client_id: clientId, install: { member_id: 'x', client_endpoint: 'https://x.example/rest/', ...over } } } }
}

t.test('looks up a moved portal once, with one notification', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme, { expired: false })
  const [one, other] = [world.tokens(t), world.tokens(t)]
  const before = await one.access(acme.memberId)
  acme.rename('neu.bitrix24.de')
  const located = await Promise.all(Array.from({ length: 20 }, () => one.locate(before)))
  t.equal(world.questions, 1)
  for (const access of located) t.match(access, { ...before, domain: 'neu.bitrix24.de', clientEndpoint: acme.clientEndpoint })
  t.equal((await other.locate(before)).domain, 'neu.bitrix24.de', 'another process finds it in the store')
  t.equal(world.questions, 1)
  t.match(await other.locate(located[0]!), { domain: 'neu.bitrix24.de' }, 'one that has not moved')
  t.equal(world.questions, 2)
  t.strictSame(world.reported, [['renamed', acme.memberId, 'acme.bitrix24.com', 'neu.bitrix24.de']])
  world.b24.fault('app.info', { status: 500 })
  await t.rejects(one.locate(located[0]!), UNAVAILABLE)
  t.match(await one.locate({ ...before, memberId: 'nobody' }), { memberId: 'nobody', domain: before.domain })
})

t.test('a process that stalled until its lock expired still stores its pair', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  // Lets its lock expire.
  const stuck = world.tokens(t, {
    times: { lockMs: 60 },
    locks: {
      take: async (...args) => {
        const lock = await world.place.locks.take(...args)
        return lock && { ...lock, renew: async () => { throw storeUnavailable(new Error('away')) } }
      }
    }
  })
  const other = world.tokens(t)
  world.b24.fault('token', { answerDelayMs: 800, times: 1 })
  const first = stuck.access(acme.memberId)
  await until(() => world.refreshes === 1, 'it is asked')
  const [one, two] = await Promise.all([first, other.access(acme.memberId)])
  t.equal(one.accessToken, two.accessToken)
  t.equal(world.refreshes, 2)
  t.strictSame(world.reported, [])
  t.equal((await world.record(acme)).generation, 2)
})

t.test('a late response does not overwrite a newer pair', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const tokens = world.tokens(t)
  world.b24.fault('token', { answerDelayMs: 300, times: 1 })
  const slow = tokens.access(acme.memberId)
  await until(() => world.refreshes === 1, 'it is asked')
  await world.install(acme, { expired: false })
  t.equal((await slow).generation, 2, 'the newer is used')
  t.equal((await world.record(acme)).generation, 2)
  t.equal((await slow).accessToken, await world.keptToken(acme))
})

t.test('stores a new pair even after a long outage', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const { store } = world.place
  let fails = 6
  const flaky = storeWith(store, {
    async swap (...args) {
      if (fails-- <= 0) return await store.swap(...args)
      // A failed swap may have been written anyway, or lost its race.
      if (fails === 0) await store.swap(...args)
      if (fails === 3) return false
      throw storeUnavailable(new Error('away'))
    }
  })
  const access = await world.tokens(t, { store: flaky }).access(acme.memberId)
  t.equal(access.accessToken, await world.keptToken(acme))
  t.equal((await world.record(acme)).generation, 2)
  t.equal(world.refreshes, 1)
})

t.test('reports an invalid pair even if its write seemed to fail', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const { store } = world.place
  let fails = 1
  const flaky = storeWith(store, {
    async swap (...args) {
      const written = await store.swap(...args)
      if (fails-- > 0) throw storeUnavailable(new Error('no answer'))
      return written
    }
  })
  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' } })
  await t.rejects(world.tokens(t, { store: flaky, times: BRIEF }).access(acme.memberId), REAUTH)
  t.strictSame(world.reported, [['reauthRequired', acme.memberId]])
})

t.test('reports a store outage', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const away = async () => { throw storeUnavailable(new Error('away')) }
  await t.rejects(world.tokens(t, { store: storeWith(world.place.store, { get: away }) }).access(acme.memberId), STORE_AWAY)
  await t.rejects(world.tokens(t, { locks: { take: away } }).access(acme.memberId), STORE_AWAY)
  t.equal(world.refreshes, 0)
})

t.test('bounds the wait for another lock holder', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const lock = await world.place.locks.take(`refresh:${acme.memberId}`, 60_000)
  const tokens = world.tokens(t, { times: { waitMs: 200 } })
  await t.rejects(tokens.access(acme.memberId), UNAVAILABLE)
  const late = world.tokens(t)
  const waiting = late.access(acme.memberId)
  await world.install(acme, { expired: false })
  t.equal((await waiting).generation, 2, 'who waits sees what came in between')
  await world.expire(acme)
  const closed = late.access(acme.memberId)
  await sleep(50)
  await Promise.all([t.rejects(closed, { ...UNAVAILABLE, cause: { message: 'aborted' } }), late.close(50)])
  await lock?.release()
})

t.test('bounds the caller\'s wait for a slow response, which is still stored', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const tokens = world.tokens(t, { times: { waitMs: 200, lockMs: 150 } })
  world.b24.fault('token', { answerDelayMs: 800 })
  await t.rejects(tokens.access(acme.memberId), { ...UNAVAILABLE, cause: { message: 'no response yet' } })
  await tokens.close()
  t.equal((await world.record(acme)).generation, 2)
  await t.rejects(tokens.renew({ ...await world.tokens(t).access(acme.memberId) }), { code: 'FST_B24_CLOSING' })
})

t.test('closing aborts pending work', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  const tokens = world.tokens(t)
  world.b24.fault('token', { hang: true })
  const access = tokens.access(acme.memberId)
  await until(() => world.refreshes === 1, 'it is asked')
  await Promise.all([t.rejects(access, UNAVAILABLE), tokens.close(20)])

  world.b24.clearFaults()
  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' } })
  const burying = world.tokens(t)
  const lost = burying.access(acme.memberId)
  await until(() => world.refreshes === 2, 'it is asked')
  await Promise.all([t.rejects(lost, { ...UNAVAILABLE, cause: { message: 'aborted' } }), burying.close(100)])
  t.equal((await world.record(acme)).state, 'active')
})

t.test('gives up on a record that changes at every read', async t => {
  const { world, acme } = await openWorld(t)
  await world.install(acme)
  world.b24.fault('token', { status: 400, body: { error: 'invalid_grant' } })
  let generation = 1
  const store = storeWith(world.place.store, {
    async get (memberId) {
      const stored = await world.place.store.get(memberId)
      return stored && { ...stored, install: { ...stored.install, installer: { ...stored.install.installer!, generation: generation++ } } }
    }
  })
  await t.rejects(world.tokens(t, { store }).access(acme.memberId), { ...UNAVAILABLE, cause: { message: 'too many concurrent changes of the token pair' } })
  const swaps = storeWith(world.place.store, { swap: async () => false })
  await t.rejects(world.tokens(t, { store: swaps, times: BRIEF }).access(acme.memberId), STORE_AWAY)
})
