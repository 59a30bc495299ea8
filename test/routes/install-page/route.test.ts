import t, { type Test } from 'tap'
import type { FastifyBitrix24Options, LifecycleHookName } from '../../../src/index.ts'
import { type Delivery, type OpenOptions, type SimulatedPortal, waitForIdle } from '../../../src/testing/index.ts'
import { buildApp, buildWorld, type World } from '../../helpers/app.ts'
import { secret } from '../../helpers/secrets.ts'
import { STORAGES } from '../../helpers/storages.ts'
import { until } from '../../helpers/until.ts'

t.setTimeout(120_000)

interface PageWorld extends World {
  portal: SimulatedPortal
  installUrl: string
  calls: Array<[name: LifecycleHookName, fact: Record<string, unknown>]>
  open: (options?: OpenOptions) => Promise<Delivery>
}

/** An app with one portal that begins to install it; records every lifecycle hook. */
async function pageWorld (t: Test, options: Partial<FastifyBitrix24Options> = {}, prepare?: Parameters<typeof buildWorld>[3]): Promise<PageWorld> {
  const world = await buildWorld(t, options, {}, prepare)
  // Closed before its directory is removed: an event of the last page may still be in progress.
  t.teardown(() => world.app.close())
  const calls: PageWorld['calls'] = []
  for (const name of ['onInstall', 'onUpdate', 'onUninstall', 'onReject'] as const) {
    world.app.bitrix24.addHook(name, (fact: object) => { calls.push([name, { ...fact }]) })
  }
  const portal = world.b24.portal('acme.bitrix24.com')
  const installUrl = world.eventsUrl.replace('/events', '/install')
  portal.beginInstall({ installUrl, appUrl: installUrl })
  portal.user(2, { admin: false })
  portal.user(3, { admin: true })
  return { ...world, portal, installUrl, calls, open: async options => await portal.openApp(installUrl, options) }
}

async function stateOf ({ app, portal }: PageWorld): Promise<string | undefined> {
  return (await app.bitrix24.portal(portal.memberId))?.state
}

function headerOf ({ headers }: Delivery, name: string): string {
  return String(headers[name])
}

for (const { storage, options } of STORAGES) {
  t.test(`an admin opens the install page: stored, onInstall called once, and the page finishes the install, ${storage}`, async t => {
    const world = await pageWorld(t, options(t))
    const { app, portal, calls, open } = world
    const heard: string[] = []
    app.bitrix24.onAny(event => { heard.push(event.name) })
    const answer = await open()
    t.equal(answer.statusCode, 200, answer.body)
    t.match(answer.body, 'Installing the app')
    t.match(answer.body, 'The app is connected to acme.bitrix24.com')
    t.match(answer.body, 'BX24.installFinish()')
    t.match(answer.body, 'src="https://api.bitrix24.com/api/v1/"')
    t.match(await app.bitrix24.portal(portal.memberId), { state: 'active', domain: 'acme.bitrix24.com', userId: 1, version: '1', clientEndpoint: portal.clientEndpoint })
    await waitForIdle(app.bitrix24)
    t.match(calls, [['onInstall', { reinstall: false, portal: { domain: 'acme.bitrix24.com' } }]])
    t.equal(calls.length, 1)
    t.strictSame(heard, [], 'no event came')
    t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } }, { url: world.eventsUrl })).statusCode, 200, 'its token proves events')
  })
}

t.test('with inline delivery, onInstall runs before the response', async t => {
  const { calls, open } = await pageWorld(t, { delivery: { mode: 'inline' } })
  t.equal((await open()).statusCode, 200)
  t.match(calls, [['onInstall', { reinstall: false }]])
  t.match((await open()).body, 'BX24.installFinish()', 'again until it is finished')
  t.equal(calls.length, 1)
})

t.test('a user who is not an admin learns who can install the app, and nothing is stored', async t => {
  const world = await pageWorld(t)
  const answer = await world.open({ user: 2 })
  t.equal(answer.statusCode, 403)
  t.match(answer.body, 'An administrator has to install this app')
  t.match(answer.body, '403 FST_B24_NOT_ADMIN')
  t.notMatch(answer.body, '<script')
  t.equal(await stateOf(world), undefined)
  t.match(world.calls, [['onReject', { reason: 'not_admin', memberId: world.portal.memberId }]])
  t.match(headerOf(answer, 'content-security-policy'), new RegExp(`frame-ancestors ${new URL(world.portal.clientEndpoint).origin}$`))
})

t.test('the page speaks Russian to a Russian portal, English to any other', async t => {
  const { open } = await pageWorld(t)
  t.match((await open({ user: 2, lang: 'ru' })).body, /<html lang="ru">[^]*Это приложение должен установить администратор/)
  t.match((await open({ lang: 'ru' })).body, /<html lang="ru">[^]*Приложение подключено к acme\.bitrix24\.com/)
  t.match((await open({ user: 2, lang: 'de' })).body, /<html lang="en">/)
  t.match((await open({ user: 2, query: { LANG: '"><script>' } })).body, /<html lang="en">/)
})

t.test('the app is opened where it is installed', async t => {
  const world = await pageWorld(t)
  const { app, portal, calls, open } = world
  await open()
  await portal.finishInstall()
  await waitForIdle(app.bitrix24)
  for (const user of [1, 2, 3]) {
    const answer = await open({ user })
    t.equal(answer.statusCode, 200)
    t.match(answer.body, 'The app is installed')
    t.notMatch(answer.body, '<script', 'there is nothing to finish')
  }
  await waitForIdle(app.bitrix24)
  t.equal((await app.bitrix24.portal(portal.memberId))?.userId, 1, 'the pair of him who installed it stays')
  t.match(calls, [['onInstall', { reinstall: false }]])
  t.equal(calls.length, 1)
})

t.test('an update that requires the page is reported as one, and finished by any admin', async t => {
  const { app, portal, calls, open, installUrl } = await pageWorld(t)
  await open()
  await portal.finishInstall()
  portal.version = 2
  portal.beginInstall({ installUrl })
  t.equal((await open({ user: 2 })).statusCode, 403)
  t.match((await open({ user: 3 })).body, 'BX24.installFinish()')
  await portal.finishInstall(3)
  await waitForIdle(app.bitrix24)
  t.match(calls.filter(([name]) => name !== 'onReject'), [['onInstall', {}], ['onUpdate', { version: '2', previousVersion: '1' }]])
  t.equal((await app.bitrix24.portal(portal.memberId))?.userId, 3)
})

t.test('a page of a portal that had removed the app installs it again', async t => {
  const { app, portal, calls, open, eventsUrl, installUrl } = await pageWorld(t)
  await open()
  await waitForIdle(app.bitrix24)
  await portal.uninstall({ url: eventsUrl, ts: Math.floor(Date.now() / 1000) + 1 })
  await new Promise(resolve => setTimeout(resolve, 1_100))
  await portal.uninstall({ url: eventsUrl })
  await waitForIdle(app.bitrix24)
  portal.beginInstall({ installUrl })
  t.equal((await open()).statusCode, 200)
  await waitForIdle(app.bitrix24)
  t.match(calls, [['onInstall', { reinstall: false }], ['onUninstall', {}], ['onInstall', { reinstall: true }]])
})

t.test('the page and ONAPPINSTALL of one install result in one', async t => {
  const orders: Record<string, (world: PageWorld) => Promise<unknown>> = {
    'the page first': async ({ app, portal, open, eventsUrl }) => {
      await open()
      await waitForIdle(app.bitrix24)
      await portal.install(eventsUrl)
    },
    'the event first': async ({ app, portal, open, eventsUrl }) => {
      await portal.install(eventsUrl)
      await waitForIdle(app.bitrix24)
      await open()
    },
    'the event first, late': async ({ portal, open, eventsUrl }) => {
      await portal.install(eventsUrl, { lateSeconds: 600 })
      await open()
    },
    'the page first, the event from before it': async ({ portal, open, eventsUrl }) => {
      await open()
      await portal.install(eventsUrl, { lateSeconds: 600 })
    },
    'the event later, of a portal whose clock is ahead': async ({ portal, open, eventsUrl }) => {
      await open()
      await portal.install(eventsUrl, { ts: Math.floor(Date.now() / 1000) + 300 })
    },
    'both at once': async ({ portal, open, eventsUrl }) => await Promise.all([portal.install(eventsUrl), open(), portal.install(eventsUrl), open()])
  }
  for (const [order, act] of Object.entries(orders)) {
    for (const { storage, options } of STORAGES) {
      const world = await pageWorld(t, options(t))
      await act(world)
      await waitForIdle(world.app.bitrix24)
      t.match(world.calls, [['onInstall', { reinstall: false }]], `${order}, ${storage}`)
      t.equal(world.calls.length, 1, `${order}, ${storage}`)
      t.equal(await stateOf(world), 'active')
    }
  }
})

t.test('an unverified page request is rejected without a reason, and stores nothing', async t => {
  const world = await pageWorld(t)
  const { b24, calls, open } = world
  const foreign = { clientId: 'local.foreign', clientSecret: secret() }
  b24.app(foreign)
  const other = b24.portal('other.bitrix24.com').issue()
  const otherApp = world.portal.issue({ clientId: foreign.clientId })
  const tokens = ({ accessToken, refreshToken }: { accessToken: string, refreshToken: string }) => ({ AUTH_ID: accessToken, REFRESH_ID: refreshToken })
  const cases: Array<[what: string, fields: Record<string, string | null>, reason: string]> = [
    ['tokens that nobody issued', { AUTH_ID: secret(), REFRESH_ID: secret() }, 'token_refused'],
    ['tokens of another portal', tokens(other), 'other_portal'],
    ['tokens of another app', tokens(otherApp), 'other_app'],
    ['an OAuth server of the attacker', { SERVER_ENDPOINT: 'https://oauth.attacker.example/rest/' }, 'server_not_allowed'],
    ['no tokens', { AUTH_ID: null, REFRESH_ID: null }, 'no_tokens'],
    ['no application token', { APPLICATION_TOKEN: null }, 'no_tokens'],
    ['an endless application token', { APPLICATION_TOKEN: 'x'.repeat(600) }, 'no_tokens']
  ]
  const pages = new Set<string>()
  for (const [what, fields, reason] of cases) {
    calls.length = 0
    const answer = await open({ fields })
    t.equal(answer.statusCode, 403, what)
    t.match(answer.body, 'Bitrix24 did not confirm this page', what)
    t.match(calls, [['onReject', { reason }]], what)
    pages.add(answer.body.replaceAll(/nonce="[^"]+"/g, ''))
  }
  t.equal(pages.size, 1, 'one page for all')
  t.equal(await stateOf(world), undefined)
  t.equal((await open({ fields: { member_id: 'a\nb' } })).statusCode, 400, 'no member_id of a portal')
  world.portal.paid = false
  const unpaid = await open()
  t.match([unpaid.statusCode, unpaid.body], [503, /plan of your Bitrix24/])
})

t.test('a portal on an old server sends no application token, which suffices if it is known', async t => {
  const { portal, open } = await pageWorld(t)
  await open()
  t.equal((await open({ fields: { APPLICATION_TOKEN: null } })).statusCode, 200)
  await portal.finishInstall()
  t.match((await open({ user: 2, fields: { APPLICATION_TOKEN: null } })).body, 'The app is installed')
})

t.test('the page does not reveal to strangers whether a portal is known', async t => {
  const { b24, installUrl, open } = await pageWorld(t)
  await open()
  const unknown = b24.portal('unknown.bitrix24.com')
  const forge = (AUTH_ID: string) => ({ AUTH_ID, REFRESH_ID: AUTH_ID, APPLICATION_TOKEN: null })
  const answers = async () => {
    const before = b24.requests.length
    const known = await open({ fields: forge(secret()) })
    const asked = b24.requests.length - before
    const stranger = await unknown.openApp(installUrl, { fields: forge(secret()) })
    return [[known.statusCode, asked], [stranger.statusCode, b24.requests.length - before - asked]]
  }
  t.strictSame(await answers(), [[403, 1], [403, 1]])
  b24.fault('app.info', { status: 500 })
  t.strictSame(await answers(), [[503, 1], [503, 1]], 'while the OAuth server is away too')
})

t.test('a temporary failure is shown, and stores nothing', async t => {
  const world = await pageWorld(t)
  const { b24, portal, open } = world
  const refusal = (status: number, error: string, description = '') => ({ status, body: { error, error_description: description } })
  const cases: Array<[what: string, lift: () => () => void, statusCode: number, says: string]> = [
    ['the OAuth server is down', () => b24.fault('app.info', { status: 500 }), 503, 'FST_B24_OAUTH_UNAVAILABLE'],
    ['the portal is down', () => portal.fault('batch', { status: 502 }), 503, 'FST_B24_PORTAL_UNAVAILABLE'],
    ['the portal bears no more calls', () => portal.fault('batch', refusal(503, 'QUERY_LIMIT_EXCEEDED')), 503, 'This does not work right now'],
    ['the portal has no plan for apps', () => portal.fault('batch', refusal(401, 'ACCESS_DENIED', 'REST API is available only on commercial plans.')), 503, 'plan of your Bitrix24'],
    ['the user may not use the app', () => portal.fault('batch', refusal(403, 'user_access_error')), 502, 'This page cannot be shown']
  ]
  for (const [what, fault, statusCode, says] of cases) {
    const lift = fault()
    const answer = await open()
    lift()
    t.match([answer.statusCode, answer.body], [statusCode, says], what)
  }
  t.equal(await stateOf(world), undefined)
  t.equal((await open()).statusCode, 200, 'and then it works')
})

t.test('shows an error if no worker handles the install', { timeout: 30_000 }, async t => {
  const { open } = await pageWorld(t, { delivery: { worker: false } })
  const closed = await pageWorld(t, { delivery: { worker: false } })
  const closing = until(async () => (await closed.app.bitrix24.health()).queue?.waiting === 1, 'the install is stored').then(() => closed.app.close())
  const [answer, early] = await Promise.all([open(), closed.open(), closing])
  t.match([answer.statusCode, answer.body], [503, 'takes longer than usual'])
  t.match([early.statusCode, early.body], [503, 'FST_B24_CLOSING'], 'nor does it keep the app from closing')
})

t.test('accepts the same form as multipart, with fields only', async t => {
  const { portal, installUrl } = await pageWorld(t)
  const form = portal.frameForm(installUrl)
  const body = new FormData()
  for (const [name, value] of Object.entries(form.fields)) body.append(name, value)
  const post = async (body: FormData | string, headers = {}) => await fetch(form.url, { method: 'POST', body, headers })
  t.equal((await post(body)).status, 200)
  body.append('file', new Blob(['x']), 'x.txt')
  const refused = await post(body)
  t.match([refused.status, await refused.text()], [400, 'FST_B24_FORM_KEY'])
  const broken = await post('--x', { 'content-type': 'multipart/form-data' })
  t.match([broken.status, await broken.text()], [400, 'FST_B24_FORM_KEY'])
})

t.test('page requests are limited to 32 KB in every encoding', async t => {
  const { b24, portal, installUrl } = await pageWorld(t)
  const form = portal.frameForm(installUrl)
  const [plain, parts] = [new URLSearchParams(form.fields), new FormData()]
  for (const [name, value] of Object.entries(form.fields)) parts.append(name, value)
  for (const [body, status] of [[plain, 400], [parts, 413]] as const) {
    body.set('PADDING', 'x'.repeat(33 * 1024))
    t.equal((await fetch(form.url, { method: 'POST', body })).status, status)
    t.equal(b24.requests.length, 0, 'nobody was asked')
  }
  plain.set('PADDING', 'x'.repeat(20_000))
  t.equal((await fetch(form.url, { method: 'POST', body: plain })).status, 200)
})

t.test('answers errors to a browser with a page, and to Bitrix24 with JSON', async t => {
  const { app, portal } = await pageWorld(t)
  const post = async (url: string, payload: string, headers = {}) => await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } })
  const browser = await post('/bitrix24/install?DOMAIN=acme.bitrix24.com&PROTOCOL=1&LANG=en&APP_SID=x', `x=${'x'.repeat(1_100_000)}`)
  t.match([browser.statusCode, browser.headers['content-type'], browser.body], [413, /html/, '413 FST_ERR_CTP_BODY_TOO_LARGE'])
  t.match(browser.headers['content-security-policy'], /frame-ancestors https:\/\/acme\.bitrix24\.com$/)
  t.match((await post('/bitrix24/install', '__proto__=1', { accept: 'text/html' })).body, '400 FST_B24_FORM_KEY')
  t.match((await post('/bitrix24/install', 'event=x')).json(), { code: 'FST_B24_ENVELOPE' })
  t.match((await post('/bitrix24/install', 'workflow_id=1')).json(), { code: 'FST_B24_NOT_AN_EVENT' })
  t.match((await post('/bitrix24/events', 'AUTH_ID=x&PLACEMENT=DEFAULT')).json(), { code: 'FST_B24_NOT_AN_EVENT' }, 'the page is at the install URL alone')
  t.equal((await app.inject('/bitrix24/install')).statusCode, 200)
  t.ok(portal)
})

t.test('only the page that posted may have an error in a frame, and nothing slips into the policy', async t => {
  const { app } = await pageWorld(t)
  const ancestorOf = async (query: string, origin?: string): Promise<string | undefined> => {
    const answer = await app.inject({
      method: 'POST',
      url: `/bitrix24/install?${query}`,
      payload: 'PLACEMENT=DEFAULT',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...(origin !== undefined && { origin }) }
    })
    return /frame-ancestors (.*)$/.exec(String(answer.headers['content-security-policy']))?.[1]
  }
  t.equal(await ancestorOf('DOMAIN=acme.bitrix24.com'), 'https://acme.bitrix24.com')
  t.equal(await ancestorOf('DOMAIN=box.example:8443&PROTOCOL=0'), 'http://box.example:8443')
  t.equal(await ancestorOf('DOMAIN=a.example', 'https://b.example'), 'https://b.example')
  t.equal(await ancestorOf('DOMAIN=a.example', 'null'), 'https://a.example')
  for (const forged of ['*', 'a;sandbox', 'a.example%20*', "'self'", 'a.example/../x,y', '*.example', '']) {
    t.match(await ancestorOf(`DOMAIN=${forged}`), /^('none'|https:\/\/a(\.example)?)$/, forged)
  }
  t.equal(await ancestorOf('DOMAIN=a&DOMAIN=b'), "'none'")
})

t.test('strict headers, a nonce of its own for each page, and no secret in any answer or log', async t => {
  const prepare = (app: World['app']) => app.addHook('onRequest', async (_request, reply) => { reply.header('x-frame-options', 'DENY') })
  const { b24, portal, open, logs } = await pageWorld(t, {}, prepare)
  const answers = [await open(), await open(), await open({ user: 2 }), await open({ fields: { AUTH_ID: 'x' } })]
  const nonces = answers.map(answer => /<style nonce="([\w-]{22})">/.exec(answer.body)?.[1])
  t.equal(new Set(nonces).size, answers.length)
  for (const [index, answer] of answers.entries()) {
    const policy = headerOf(answer, 'content-security-policy')
    t.match(policy, /^default-src 'none'; /)
    t.match(policy, `script-src 'nonce-${nonces[index]}'`)
    t.match(policy, "base-uri 'none'")
    t.match(answer.headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store', 'content-type': 'text/html; charset=utf-8' })
    t.notOk('x-frame-options' in answer.headers, 'the header of the host would keep every portal out')
    t.notMatch(answer.body, /\son\w+=|javascript:/)
    for (const value of b24.secrets()) t.notMatch(answer.body + JSON.stringify(answer.headers), value)
  }
  const text = logs.join('\n')
  t.notMatch(text, 'APP_SID')
  t.match(text, '"url":"/bitrix24/install"')
  for (const value of [...b24.secrets(), portal.applicationToken]) t.notOk(text.includes(value))
})

t.test('a custom page', async t => {
  const facts: Array<Record<string, unknown>> = []
  const html = (given: object): string | undefined => {
    facts.push({ ...given })
    if (facts.length === 3) throw new Error('no page')
    return facts.length === 4 ? undefined : `<h1>${String((given as { status: string }).status)}</h1>`
  }
  const { portal, open } = await pageWorld(t, { installPage: { html, bx24Url: 'http://127.0.0.1:1/bx24.js' } })
  const first = await open({ lang: 'ru' })
  t.equal(first.body, '<h1>installing</h1>')
  t.match(facts[0], { status: 'installing', lang: 'ru', portal: { memberId: portal.memberId }, bx24Url: 'http://127.0.0.1:1/bx24.js', nonce: /^[\w-]{22}$/ })
  t.match(headerOf(first, 'content-security-policy'), `script-src 'self' 'nonce-${facts[0]?.['nonce']}'`)
  t.match(headerOf(first, 'content-security-policy'), `connect-src 'self' ${new URL(portal.clientEndpoint).origin}; form-action 'self'`)
  t.equal((await open({ user: 2 })).body, '<h1>error</h1>')
  t.match(facts[1], { status: 'error', portal: undefined, error: { code: 'FST_B24_NOT_ADMIN', statusCode: 403 } })
  t.match((await open()).body, 'Installing the app', 'one that fails is not missed by the user')
  t.match((await open()).body, 'http://127.0.0.1:1/bx24.js', 'nor one that has nothing to say')
})

t.test('without an install page, its request is answered like any other', async t => {
  const { open } = await pageWorld(t, { installPage: false })
  const answer = await open()
  t.equal(answer.statusCode, 400)
  t.match(answer.json(), { code: 'FST_B24_NOT_AN_EVENT' })
})

t.test('rejects invalid options', async t => {
  for (const installPage of [true, { html: 'page.html' }, { bx24Url: 'http://example.com/bx24.js' }, { bx24Url: 'bx24.js' }]) {
    await t.rejects(buildApp(t, { clientId: 'local.x', clientSecret: secret(), installPage: installPage as never }), { code: 'FST_B24_INVALID_OPTIONS', message: /installPage/ })
  }
})
