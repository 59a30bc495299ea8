import { runInNewContext } from 'node:vm'
import t from 'tap'
import { buildRest } from '../helpers/rest-world.ts'

const INSTALL_URL = 'https://app.example/install'
const APP_URL = 'https://app.example/app?tab=1'

t.test('posts what a browser posts into the frame', async t => {
  const { b24, portal, url, posts } = await buildRest(t)
  const { statusCode } = await portal.openApp(url, { user: 2, lang: 'ru' })
  t.equal(statusCode, 200)
  const { query, fields } = partsOf(portal.frameForm(APP_URL, { user: 2, placement: 'CRM_DEAL_DETAIL_TAB', placementOptions: { ID: '5' } }))
  t.match(query, { tab: '1', DOMAIN: 'acme.bitrix24.com', PROTOCOL: '1', LANG: 'en', APP_SID: /^[0-9a-f]{32}$/ })
  t.match(fields, {
    AUTH_ID: /^[0-9a-f]{70}$/,
    AUTH_EXPIRES: '3600',
    REFRESH_ID: /^[0-9a-f]{70}$/,
    SERVER_ENDPOINT: `${b24.oauthServer}/rest/`,
    APPLICATION_TOKEN: portal.applicationToken,
    APPLICATION_SCOPE: 'crm,task,user',
    member_id: portal.memberId,
    status: 'F',
    PLACEMENT: 'CRM_DEAL_DETAIL_TAB',
    PLACEMENT_OPTIONS: '{"ID":"5"}'
  })
  t.strictSame([...posts[0]?.keys() ?? []], ['AUTH_ID', 'AUTH_EXPIRES', 'REFRESH_ID', 'SERVER_ENDPOINT', 'APPLICATION_TOKEN', 'APPLICATION_SCOPE', 'member_id', 'status', 'PLACEMENT'])
  const forged = partsOf(portal.frameForm(INSTALL_URL, { fields: { APPLICATION_TOKEN: null, member_id: 'other' }, query: { LANG: null } }))
  t.notOk('APPLICATION_TOKEN' in forged.fields || 'LANG' in forged.query)
  t.equal(forged.fields['member_id'], 'other')
  t.equal(portal.installer, undefined, 'an opening is no install')
  await t.rejects(portal.openApp(), { message: /beginInstall/ })
})

t.test('installs an app with a page', async t => {
  const { b24, portal, call, url, posts } = await buildRest(t)
  portal.beginInstall({ installUrl: url, appUrl: url })
  await call('event.bind', { event: 'onCrmDealUpdate', handler: url })
  await call('event.bind', { event: 'onAppInstall', handler: url })
  t.match(await call('app.info'), { body: { result: { INSTALLED: false } } })
  t.strictSame(await portal.change(2, 1), [])
  t.equal((await portal.openApp(undefined, { user: 2 })).statusCode, 200)
  t.equal(portal.installer, undefined, 'one without rights installs nothing')
  await portal.openApp()
  t.equal(posts.at(-1)?.get('AUTH_ID'), portal.installer?.accessToken)
  const info = await (await fetch(`${b24.oauthServer}/rest/app.info/?auth=${portal.installer?.accessToken}`)).json()
  t.match(info, { result: { install: { installed: false } } })

  t.equal((await portal.finishInstall()).length, 1)
  t.match(Object.fromEntries(posts.at(-1) ?? []), { event: 'ONAPPINSTALL', 'data[INSTALLED]': 'Y', 'auth[refresh_token]': /./ })
  t.strictSame(await portal.finishInstall(), [], 'once')
  t.match(await call('app.info'), { body: { result: { INSTALLED: true } } })
  t.equal((await portal.change(2, 1)).length, 1)
})

t.test('has a page with the app in a frame', async t => {
  const { b24, portal } = await buildRest(t)
  const ask = async (url: string, init?: RequestInit) => {
    const response = await fetch(url, init)
    return { status: response.status, text: await response.text() }
  }
  t.equal((await ask(portal.framePageUrl)).status, 404, 'an app without pages')
  t.equal((await ask(`${b24.oauthServer}/portals/nobody.bitrix24.com/marketplace/app/`)).status, 404)
  portal.beginInstall({ installUrl: INSTALL_URL, appUrl: APP_URL })
  t.match((await ask(`${portal.framePageUrl}?user=2`)).text, /not installed yet/)
  const { text } = await ask(`${portal.framePageUrl}?user=1&lang=ru`)
  const [, action = ''] = /action="([^"]+)"/.exec(text) ?? []
  t.match(action, /^https:\/\/app\.example\/install\?DOMAIN=acme\.bitrix24\.com&#38;PROTOCOL=1&#38;LANG=ru&#38;APP_SID=/)
  t.match(text, `<input type="hidden" name="AUTH_ID" value="${portal.installer?.accessToken}">`)
  const [, finish = ''] = /fetch\("([^"]+)"/.exec(text) ?? []
  const finishUrl = new URL(finish, portal.framePageUrl).href

  t.equal((await ask(finishUrl.replace(/=.*/, '=other'), { method: 'POST' })).status, 403)
  const bystander = new URL(portal.frameForm(APP_URL, { user: 2 }).url).searchParams.get('APP_SID')
  t.equal((await ask(finishUrl.replace(/=.*/, `=${bystander}`), { method: 'POST' })).status, 403)
  t.equal((await ask(finishUrl.replace(/\?.*/, ''), { method: 'POST' })).status, 403)
  t.notOk(portal.installed)
  t.equal((await ask(finishUrl, { method: 'POST' })).status, 204)
  t.ok(portal.installed)
  t.match((await ask(`${portal.framePageUrl}?user=2`)).text, /action="https:\/\/app\.example\/app\?tab=1&#38;DOMAIN=/)
})

t.test('has a script for the pages in its frames', async t => {
  const { portal } = await buildRest(t)
  const response = await fetch(portal.bx24Url)
  t.match(response.headers.get('content-type'), 'text/javascript')
  const said: unknown[] = []
  const window: Record<string, any> = {}
  const location = { search: '?DOMAIN=acme.bitrix24.com&LANG=ru&APP_SID=abc' }
  runInNewContext(await response.text(), { window, location, URLSearchParams, document: { readyState: 'complete' }, parent: { postMessage: (...message: unknown[]) => said.push(message) } })
  const { BX24 } = window
  let ready = false
  BX24.init(() => { ready = true })
  BX24.installFinish()
  BX24.fitWindow()
  t.ok(ready)
  t.strictSame(said, [['setInstallFinish::abc', '*']])
  t.strictSame([BX24.getDomain(), BX24.getLang()], ['acme.bitrix24.com', 'ru'])
})

function partsOf ({ url, fields }: { url: string, fields: Record<string, string> }): { query: Record<string, string>, fields: Record<string, string> } {
  return { query: Object.fromEntries(new URL(url).searchParams), fields }
}
