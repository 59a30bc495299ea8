import t from 'tap'
import { inboundEventOf, toQueuedEvent } from '../../src/delivery/inbound-event.ts'
import { sourceOf } from '../../src/delivery/unverified-limiter.ts'
import { FST_B24_STORE_UNAVAILABLE } from '../../src/errors.ts'
import { digestToken } from '../../src/installs/application-token.ts'
import { INSTALL_RETRY_MS } from '../../src/storage/pending-installs.ts'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import { limitError } from '../../src/portal/rest/call-error.ts'
import type { Outcome, QueuedEvent } from '../../src/storage/queued-event.ts'
import { sampleInstall } from '../../src/testing/index.ts'
import type { Envelope } from '../../src/wire/envelope.ts'
import { bench, dealOf, installOf, queueOptions, runOf } from '../helpers/delivery-bench.ts'
import { secret } from '../helpers/secrets.ts'
import { until } from '../helpers/until.ts'

const codeOf = (outcome: Outcome) => [outcome.status, 'error' in outcome ? (outcome.error as { code?: string }).code : undefined]

t.test('an unrecognized job becomes a dead letter with a reason', async t => {
  const { process, encryptor } = await bench(t)
  const event = toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, queueOptions())
  const payload = event.payload as object
  const foreign: unknown[] = [
    null, 1, 'text', [], {}, { x: 1 }, { ...event, payload: null }, { ...event, payload: { ...payload, v: 2 } }, { ...event, memberId: 'another' },
    { ...event, receivedAt: 'today' }, { ...event, payload: { v: 1, envelope: { auth: { member_id: 'acme' } } } }
  ]
  for (const each of foreign) t.strictSame(codeOf(await process(runOf(each))), ['dead', 'FST_B24_FOREIGN_JOB'], JSON.stringify(each))
})

t.test('an event of a deleted portal, or whose secrets cannot be decrypted, becomes a dead letter at once', async t => {
  const { process, encryptor } = await bench(t)
  t.strictSame(codeOf(await process(runOf(toQueuedEvent(inboundEventOf(dealOf('nobody'), ''), encryptor, queueOptions())))), ['dead', 'FST_B24_PORTAL_GONE'])
  const bot = { ...dealOf('nobody'), event: 'ONIMBOTMESSAGEADD', data: { BOT: { 39: { access_token: secret() } } } }
  const encrypted = toQueuedEvent(inboundEventOf(bot, ''), createEncryptor([], secret(), 'local.processor'), queueOptions())
  t.strictSame(codeOf(await process(runOf(encrypted))), ['dead', 'FST_B24_DECRYPTION_FAILED'])
})

t.test('queued events contain no plain token, and handlers get the decrypted ones', async t => {
  const { process, encryptor, store, handlers } = await bench(t)
  await store.swap('acme', 0, sampleInstall('acme'))
  const secrets = [secret(), secret(), secret()] as const
  const bot: Envelope = {
    event: 'ONIMBOTMESSAGEADD',
    data: { BOT: { 39: { access_token: secrets[0], BOT_ID: '39' } } },
    auth: { member_id: 'acme', application_token: secrets[1], access_token: secrets[2], user_id: '7' }
  }
  const event = JSON.parse(JSON.stringify(toQueuedEvent(inboundEventOf(bot, ''), encryptor, queueOptions()))) as QueuedEvent
  for (const value of secrets) t.notMatch(JSON.stringify(event), value)
  let seen: unknown
  handlers.on('onImBotMessageAdd', (event) => { seen = [(event.data as { BOT: Record<string, { access_token: string }> }).BOT['39']?.access_token, event.userId, event.id] })
  t.strictSame(await process(runOf(event)), { status: 'done' })
  t.strictSame(seen, [secrets[0], 7, 'event-1'])
})

t.test('a webhook is recognized by the options of the worker process', async t => {
  const webhooks = [{ memberId: 'hooks', applicationToken: 'a0'.repeat(16) }]
  const { process, encryptor, handlers } = await bench(t, { webhooks })
  const portals: unknown[] = []
  handlers.on('onCrmDealAdd', (_event, { portal }) => { portals.push([portal.state, portal.domain]) })
  const { domain: _, ...auth } = dealOf('hooks').auth
  for (const envelope of [dealOf('hooks'), { ...dealOf('hooks'), auth }]) {
    t.strictSame(await process(runOf(toQueuedEvent(inboundEventOf(envelope, ''), encryptor, queueOptions()))), { status: 'done' })
  }
  t.strictSame(portals, [['webhook', 'acme.bitrix24.com'], ['webhook', '']])
})

t.test('an unavailable store does not count as a failed attempt', async t => {
  const away = async (): Promise<never> => { throw new FST_B24_STORE_UNAVAILABLE() }
  const { process, encryptor, b24 } = await bench(t, { store: { get: away, swap: away, scan: away } })
  t.match(await process(runOf(toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, queueOptions()))), { status: 'later' })
  const [install] = await installOf(b24)
  t.match(await process(runOf(toQueuedEvent(install, encryptor, queueOptions({ lifecycle: true })))), { status: 'later' })
})

t.test('an unexpected failure counts as an attempt', async t => {
  const { process, encryptor, store, handlers } = await bench(t)
  await store.swap('acme', 0, sampleInstall('acme'))
  handlers.on('onCrmDealAdd', async () => {})
  handlers.on('onCrmDealAdd', async () => {})
  const save = async (): Promise<never> => { throw new Error('no room') }
  t.match(await process(runOf(toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, queueOptions()), { save })), { status: 'failed', error: { message: 'no room' } })
})

t.test('an event waits for a portal at its call limit, without counting an attempt', async t => {
  const { process, encryptor, store, handlers } = await bench(t)
  await store.swap('acme', 0, sampleInstall('acme'))
  let errors: Error[] = []
  for (const at of [0, 1]) handlers.on('onCrmDealAdd', () => { if (errors[at] !== undefined) throw errors[at] }, { id: `handler-${at}` })
  const limit = (retryAfterMs: number) => limitError('crm.deal.get', 'OPERATION_TIME_LIMIT', retryAfterMs)
  const day = 24 * 60 * 60 * 1000
  const cases: Array<[what: string, errors: Error[], ageMs: number, outcome: Outcome['status'], least?: number]> = [
    ['one handler', [limit(40_000)], 0, 'later', 40_000],
    ['two handlers, the longer wait', [limit(3_000), limit(50_000)], 0, 'later', 50_000],
    ['never at once', [limit(0)], 0, 'later', 1_000],
    ['no longer than what is left of the day', [limit(day)], day - 60_000, 'later', 59_000],
    ['another failure beside it', [limit(40_000), new Error('another')], 0, 'failed'],
    ['for a day, and no longer', [limit(40_000)], day, 'failed']
  ]
  for (const [what, thrown, ageMs, status, least = 0] of cases) {
    errors = thrown
    const outcome = await process(runOf(toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, { ...queueOptions(), receivedAt: Date.now() - ageMs })))
    t.equal(outcome.status, status, what)
    if (outcome.status === 'later') t.ok(outcome.delayMs >= least && outcome.delayMs <= 2 * least, `${what}: in ${outcome.delayMs} ms`)
  }
})

t.test('an install that could not be verified for a day becomes a dead letter and releases its slot', async t => {
  const { process, encryptor, pendingInstalls, b24, warnings } = await bench(t)
  b24.fault('app.info', { status: 500, body: '{}' })
  const [post, portal] = await installOf(b24)
  const pending = { memberId: portal.memberId, token: digestToken(portal.applicationToken) }
  await pendingInstalls.open(pending, sourceOf('server', '192.0.2.1'), 'event-1')
  const young = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true, receivedAt: Date.now() - 5_000 }))
  const outcome = await process(runOf(young))
  t.equal(outcome.status, 'later')
  t.ok('delayMs' in outcome && outcome.delayMs >= 5_000 && outcome.delayMs <= 60_000, 'it waits the longer the older it is')
  t.equal(await pendingInstalls.stateOf(pending), 'open')
  t.strictSame(warnings, ['install cannot be verified now, will be retried'])
  t.match(await process(runOf(young)), { status: 'later' })
  const old = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true, receivedAt: Date.now() - INSTALL_RETRY_MS }))
  t.strictSame(codeOf(await process(runOf(old))), ['dead', 'FST_B24_OAUTH_UNAVAILABLE'])
  t.equal(await pendingInstalls.stateOf(pending), 'closed')
  t.equal(warnings.length, 1, 'logged once for the whole outage')
})

t.test('an install whose refresh response was lost becomes a dead letter once its pair is rejected, and so do its quarantined events', async t => {
  const { process, encryptor, pendingInstalls, b24 } = await bench(t)
  const [post, portal] = await installOf(b24)
  portal.expireTokens()
  const pending = { memberId: portal.memberId, token: digestToken(portal.applicationToken) }
  await pendingInstalls.open(pending, sourceOf('server', '192.0.2.1'), 'event-1')
  await pendingInstalls.admitEvent(pending)
  const event = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true }))
  const quarantined = toQueuedEvent(inboundEventOf(dealOf(portal.memberId, portal.applicationToken), ''), encryptor, queueOptions({ id: 'event-2', quarantined: true }))
  b24.fault('token', { status: 502, body: '{}', times: 1 })
  let progress: unknown
  const save = async (kept: unknown) => { progress = JSON.parse(JSON.stringify(kept)) }
  t.match(await process(runOf(event, { save })), { status: 'later' })
  t.strictSame(progress, { refreshPending: true }, 'kept before the refresh was asked for')
  t.match(await process(runOf(quarantined)), { status: 'later' })
  b24.fault('app.info', { status: 400, body: { error: 'invalid_client' } })
  t.strictSame(codeOf(await process(runOf(event, { save, progress, attempt: 1 }))), ['dead', 'FST_B24_INSTALL_LOST'])
  t.strictSame(codeOf(await process(runOf(quarantined))), ['dead', 'FST_B24_INSTALL_LOST'])
  t.strictSame(await process(runOf(event)), { status: 'done' }, 'one that was never refreshed is refused')
})

t.test('an install whose refresh fails at first, then succeeds, is verified', async t => {
  const { process, encryptor, store, b24 } = await bench(t)
  const [post, portal] = await installOf(b24)
  portal.expireTokens()
  const event = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true }))
  b24.fault('token', { status: 502, body: '{}', times: 1 })
  t.match(await process(runOf(event)), { status: 'later' })
  t.strictSame(await process(runOf(event, { progress: { refreshPending: true } })), { status: 'done' })
  t.match(await store.get(portal.memberId), { install: { state: 'active' } })
})

t.test('a quarantined event that was verified once is never dropped', async t => {
  const { process, encryptor, store, handlers } = await bench(t)
  const install = { ...sampleInstall('acme'), token: digestToken('made up') }
  await store.swap('acme', 0, install)
  let fails = true
  const heard: number[] = []
  handlers.on('onCrmDealAdd', async () => {})
  handlers.on('onCrmDealAdd', async ({ attempt }) => { if (fails) throw new Error('no'); heard.push(attempt) })
  const quarantined = toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, queueOptions({ quarantined: true }))
  const run = { ...runOf(quarantined), save: async (kept: unknown) => { run.progress = JSON.parse(JSON.stringify(kept)) }, progress: undefined as unknown }
  t.match(await process(run), { status: 'failed' })
  t.match(run.progress, { verified: true, done: [/./] })
  await store.swap('acme', 1, { ...install, state: 'uninstalled' })
  t.strictSame(codeOf(await process(run)), ['dead', 'FST_B24_PORTAL_GONE'])
  await store.swap('acme', 2, { ...install, token: digestToken('another') })
  fails = false
  t.strictSame(await process({ ...run, attempt: 2 }), { status: 'done' }, 'also when the token has changed since')
  t.strictSame(heard, [2])
})

t.test('a quarantined event whose pending install expired becomes a dead letter, and is not dropped', async t => {
  const { process, encryptor } = await bench(t)
  const quarantined = (receivedAt: number) => toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, queueOptions({ quarantined: true, receivedAt }))
  t.strictSame(codeOf(await process(runOf(quarantined(Date.now() - INSTALL_RETRY_MS)))), ['dead', 'FST_B24_INSTALL_LOST'])
  t.strictSame(await process(runOf(quarantined(Date.now() - 60_000))), { status: 'done' }, 'a young one was refused')
})

t.test('verification of unknown senders uses at most a quarter of the slots', async t => {
  const { process, encryptor, b24 } = await bench(t)
  b24.fault('app.info', { hang: true })
  const [post] = await installOf(b24)
  const event = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true }))
  const first = process(runOf(event))
  const second = await process(runOf(event))
  t.equal(second.status, 'later')
  await b24.close()
  t.equal((await first).status, 'later')
})

t.test('a retried install does not undo later changes', async t => {
  const { process, encryptor, store, b24, handlers } = await bench(t)
  const [post, portal] = await installOf(b24, 60_000)
  const event = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true }))
  let progress: unknown
  handlers.on('onAppInstall', async () => { throw new Error('no') })
  const save = async (kept: unknown) => { progress = JSON.parse(JSON.stringify(kept)) }
  t.match(await process(runOf(event, { save })), { status: 'failed' })
  const known = (await store.get(portal.memberId))!
  await store.swap(portal.memberId, known.version, { ...known.install, state: 'uninstalled', ts: known.install.ts + 30 })
  t.match(await process(runOf(event, { save, progress, attempt: 2 })), { status: 'failed' })
  t.match(await store.get(portal.memberId), { install: { state: 'uninstalled' } })
})

t.test('a hook runs even after a crash between saving progress and applying the fact', async t => {
  const { process, encryptor, b24, handlers, store } = await bench(t)
  const [post, portal] = await installOf(b24)
  const event = toQueuedEvent(post, encryptor, queueOptions({ lifecycle: true }))
  const saves: unknown[] = []
  const heard: unknown[] = []
  handlers.on('onAppInstall', async () => { heard.push('on') })
  const save = async (kept: unknown) => { saves.push(JSON.parse(JSON.stringify(kept))) }
  t.strictSame(await process(runOf(event, { save })), { status: 'done' })
  const before = saves.find(kept => (kept as { applied?: number }).applied === 0)
  t.match(before, { hookCalls: [{ hook: 'onInstall', fact: { reinstall: false } }] }, 'kept before it was applied')
  t.strictSame(await process(runOf(event, { progress: before, attempt: 2 })), { status: 'done' })
  t.strictSame(heard, ['on', 'on'])
  t.match(await store.get(portal.memberId), { version: 1 }, 'and applies it once')
})

t.test('a dead letter is reported and counted', async t => {
  const { reportDead, dead, delivery, encryptor } = await bench(t)
  const event = toQueuedEvent(inboundEventOf(dealOf('acme'), ''), encryptor, queueOptions())
  reportDead({ id: 'event-1', memberId: 'acme', code: 'ONCRMDEALADD', receivedAt: 1, failedAt: 2, attempts: 3, coalesced: 4, error: { message: 'no' }, event })
  reportDead({ id: 'event-2', memberId: '', code: '', receivedAt: 1, failedAt: 2, attempts: 1, coalesced: 1, error: { message: 'foreign' } })
  t.match(dead, [{ name: 'onCrmDealAdd', attempts: 3, raw: { data: { FIELDS: { ID: '7' } } } }, { name: '', raw: undefined }])
  t.equal(delivery.counts.dead, 2)
})

t.test('an install that dies without a verdict is pending no more', async t => {
  const { reportDead, encryptor, pendingInstalls, b24 } = await bench(t)
  const [inbound, portal] = await installOf(b24)
  const pending = { memberId: portal.memberId, token: digestToken(portal.applicationToken) }
  await pendingInstalls.open(pending, sourceOf(b24.oauthServer, '192.0.2.1'), 'event-1')
  t.equal(await pendingInstalls.admitEvent(pending), true)
  const dead = { id: 'event-1', memberId: portal.memberId, code: 'ONAPPINSTALL', receivedAt: 1, failedAt: 2, attempts: 3, coalesced: 1, error: { message: 'The process ended during the attempt' } }
  reportDead({ ...dead, event: toQueuedEvent(inbound, encryptor, queueOptions({ lifecycle: true, group: '? 192.0.2.0/24' })) })
  await until(async () => await pendingInstalls.stateOf(pending) === 'abandoned', 'what is quarantined for it learns that')
})
