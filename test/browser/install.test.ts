import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { livePage } from '../../examples/live-page.ts'
import { EntityType } from '../../src/index.ts'
import { createSimulator } from '../../src/testing/index.ts'
import { buildApp } from '../helpers/app.ts'
import { openChromium } from '../helpers/chromium.ts'
import { endSimulator } from '../helpers/end-simulator.ts'
import { freePort } from '../helpers/redis-server.ts'
import { secret } from '../helpers/secrets.ts'

// On a busy machine, Chromium takes its time to start.
t.setTimeout(300_000)

/** An app with the live page of the example, and a portal that begins to install it. */
async function buildShop (t: Test) {
  const keys = { clientId: `local.${secret().slice(1, 20)}`, clientSecret: secret() }
  const b24 = await createSimulator(keys)
  const portal = b24.portal('acme.bitrix24.com')
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const { app, logs } = await buildApp(t, {
    ...keys, oauthServers: [b24.oauthServer], allowPrivateNetworks: true, publicUrl: origin, installPage: { bx24Url: portal.bx24Url }, delivery: { attempts: 1 }
  })
  app.bitrix24.on('onCrmDynamicItemUpdate', () => {})
  app.bitrix24.on('onCrmDealUpdate', () => { throw new Error('the warehouse is shut') })
  t.teardown(async () => {
    await app.close()
    await endSimulator(b24)
  })
  await app.register(livePage)
  await app.listen({ port, host: '127.0.0.1' })
  const installUrl = `${origin}/bitrix24/install`
  portal.beginInstall({ installUrl, appUrl: installUrl })
  return { app, b24, portal, origin, installUrl, logs }
}

t.test('an admin installs the app in the frame of a portal, and the live page shows its first event', async t => {
  const { b24, portal, origin, logs } = await buildShop(t)
  const { context, page, problems, keep } = await openChromium(t)
  const frame = page.frameLocator('iframe')
  // What Bitrix24 answers fast is held up, so that there is something to see.
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  await context.route(portal.bx24Url, async (route) => {
    await held
    await route.continue()
  })

  await page.goto(portal.framePageUrl, { waitUntil: 'commit' })
  await frame.getByText('Bitrix24 is finishing the installation').waitFor()
  await frame.getByText('The app receives the changes that it needs').waitFor()
  t.equal(portal.installed, false)
  t.match(portal.bindings.find({ event: 'ONCRMDYNAMICITEMUPDATE' }), [{ handler: `${origin}/bitrix24/events` }], 'and is subscribed by then')
  await keep('install-1-installing')
  release()
  await frame.getByText('The app is installed').waitFor()
  await frame.getByText('Nothing more is to be done here').waitFor()
  t.equal(portal.installed, true, 'the portal knows that the install is finished')
  await keep('install-2-installed')
  t.strictSame(problems, [], 'nothing that the page needs was refused to it')

  await page.goto(origin)
  await page.getByText('acme.bitrix24.com').first().waitFor()
  await page.locator('mark.active').waitFor()
  await portal.change(1220, 24, { title: 'Coffee' })
  await page.getByText('onCrmDynamicItemUpdate').waitFor()
  await page.getByText('item 24 of type 1220').waitFor()
  t.equal(await page.locator('#dead').textContent(), '0')
  await portal.change(EntityType.Deal, 7, { title: 'Tea' })
  const deadLetter = page.locator('#deadLetters li', { hasText: 'onCrmDealUpdate' })
  await deadLetter.getByText('the warehouse is shut').waitFor()
  await deadLetter.getByText('acme.bitrix24.com · 1 attempt').waitFor()
  await page.locator('.bad #dead', { hasText: /^1$/ }).waitFor()
  await keep('live-page')
  t.strictSame(problems, [])
  const html = await page.content()
  for (const value of b24.secrets()) t.notOk(html.includes(value) || logs.join('').includes(value))
})

t.test('what goes wrong is told in the frame, in the language of the portal, and can be tried again', async t => {
  const { b24, portal } = await buildShop(t)
  const { page, keep } = await openChromium(t)
  const frame = page.frameLocator('iframe')
  b24.fault('app.info', { status: 500 })
  await page.goto(`${portal.framePageUrl}?lang=ru`)
  await frame.getByText('Сейчас не получается').waitFor()
  await keep('install-3-error')
  b24.clearFaults()
  await page.reload()
  await frame.getByText('Приложение установлено').waitFor()
  t.equal(portal.installed, true)
})

t.test('without an answer of Bitrix24, the page says that nothing is finished', async t => {
  const { portal } = await buildShop(t)
  const { context, page, keep } = await openChromium(t)
  await context.route(portal.bx24Url, async route => await route.abort())
  await page.goto(portal.framePageUrl)
  await page.frameLocator('iframe').getByText('The installation is not finished').waitFor()
  await keep('install-4-stuck')
  t.equal(portal.installed, false)
})

t.test('no other site can have the page in a frame, though it posts what a portal would', async t => {
  const { portal, installUrl } = await buildShop(t)
  const { page, problems } = await openChromium(t)
  const thief = Fastify({ forceCloseConnections: true })
  t.teardown(() => thief.close())
  const { url, fields } = portal.frameForm(installUrl)
  const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`).join('')
  const posts = `<form method="post" target="app" action="${url.replaceAll('&', '&amp;')}">${inputs}</form><iframe name="app"></iframe><script>document.forms[0].submit()</script>`
  thief.get('/', async (_request, reply) => await reply.type('text/html').send(posts))
  const answered = page.waitForResponse(response => response.url().startsWith(installUrl))
  await page.goto(await thief.listen({ port: 0, host: '127.0.0.1' }))
  t.equal((await answered).status(), 200)
  await page.waitForFunction('frames.length === 1')
  await t.rejects(page.frameLocator('iframe').getByText('Installing').waitFor({ timeout: 1_000 }))
  t.match(problems.join(), /frame-ancestors/)
})

t.test('the live page is for this machine alone', async t => {
  const { app } = await buildShop(t)
  for (const host of ['app.example', '192.168.1.5:3000']) t.equal((await app.inject({ url: '/', headers: { host } })).statusCode, 403)
  t.equal((await app.inject({ url: '/', headers: { host: 'localhost:3000' } })).statusCode, 200)
})
