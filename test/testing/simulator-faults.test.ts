import { inspect } from 'node:util'
import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { outcome, UnansweredError } from '../../src/testing/index.ts'
import { buildRest, CLIENT_ID } from '../helpers/rest-world.ts'
import { secret } from '../helpers/secrets.ts'

const NOWHERE = 'http://127.0.0.1:1/events'

t.test('rejects whatever posts and gets no answer, unless a test asks for the outcome', async t => {
  const { portal, call } = await buildRest(t)
  const posts: Array<[title: string, post: () => Promise<unknown>]> = [
    ['ONAPPINSTALL', async () => await portal.install(`${NOWHERE}?key=${secret()}`)],
    ['ONAPPINSTALL', async () => await portal.reinstall()],
    ['ONAPPUPDATE', async () => await portal.update()],
    ['ONAPPUSERREADY', async () => await portal.userReady()],
    ['onTaskAdd', async () => await portal.send('onTaskAdd')],
    ['sendMany()', async () => await portal.sendMany([{ name: 'onTaskAdd' }])],
    ['onTaskAdd', async () => await portal.webhook(NOWHERE).send('onTaskAdd')],
    ['openApp()', async () => await portal.openApp(NOWHERE)],
    ['ONAPPUNINSTALL', async () => await portal.uninstall()]
  ]
  for (const [title, post] of posts) {
    await t.rejects(post(), { name: 'UnansweredError', message: `${title}: no response from ${NOWHERE} (ECONNREFUSED). To test this case, wrap the call in outcome()` }, title)
    const [delivery] = [await outcome(post())].flat()
    t.match(delivery, { statusCode: 0, error: 'ECONNREFUSED', url: /^http:/ }, title)
  }

  portal.removedApps.clear()
  await call('event.bind', { event: 'onCrmDealUpdate', handler: NOWHERE })
  await call('event.bind', { event: 'onAppInstall', handler: NOWHERE })
  await call('event.bind', { event: 'onAppTest', handler: NOWHERE })
  portal.items.set(2, 1)
  await t.rejects(portal.change(2, 1), UnansweredError)
  t.match(await outcome(portal.change(2, 1)), [{ statusCode: 0 }])
  await t.rejects(portal.emitChange(2, 1, 'UPDATE'), UnansweredError)
  await t.rejects(portal.emit({ code: 'ONCRMDEALUPDATE', data: {} }), UnansweredError)
  portal.beginInstall({})
  await t.rejects(portal.finishInstall(), UnansweredError)
  await t.rejects((await outcome(portal.change(2, 1)))[0]!.repeat(), { message: /^repeat\(\): no response/ })
  t.equal((await call('crm.item.update', { entityTypeId: 2, id: 1, fields: { title: 'x' } })).status, 200, 'a call does not wait for its events')
  t.equal((await call('event.test')).status, 200)
  await portal.settled()
  await t.rejects(outcome(Promise.reject(new Error('other'))), { message: 'other' })
})

t.test('prints what is bound', async t => {
  const { portal, call } = await buildRest(t)
  t.equal(inspect(portal.bindings), '[]')
  await call('event.bind', { event: 'onCrmDealUpdate', handler: 'https://app.example/' })
  t.match(inspect(portal.bindings), /event: 'ONCRMDEALUPDATE',\s+handler: 'https:\/\/app.example\/'/)
  t.match(JSON.parse(JSON.stringify(portal.bindings)), [{ clientId: CLIENT_ID, event: 'ONCRMDEALUPDATE' }])
  t.equal([...portal.bindings].length, 1)
})

t.test('changes the bytes of any answer', async t => {
  const { portal } = await buildRest(t)
  const { accessToken } = portal.issue()
  const ask = async (method = 'profile') => await fetch(`${portal.clientEndpoint}${method}?auth=${accessToken}`)
  for (const encoding of ['gzip', 'GZIP', 'x-gzip']) {
    portal.fault('profile', { transform: body => gzipSync(`\ufeff${body}`), headers: { 'content-encoding': encoding }, times: 1 })
    const response = await ask()
    t.equal(response.headers.get('content-encoding'), encoding)
    t.match(await response.text(), /^\ufeff?\{"result":\{"ID":"1"/)
  }
  portal.fault('profile', { transform: body => body.slice(0, 9), times: 1 })
  t.equal(await (await ask()).text(), '{"result"')
  portal.fault('profile', { body: gzipSync('{"result":1}'), headers: { 'x-packed': '1' }, times: 1 })
  const packed = await ask()
  t.equal(String(gunzipSync(Buffer.from(await packed.arrayBuffer()))), '{"result":1}')
  portal.fault('profile', { status: 200, body: '<h1>Closed</h1>', headers: { 'content-type': 'text/html; charset=windows-1251' }, times: 1 })
  t.equal((await ask()).headers.get('content-type'), 'text/html; charset=windows-1251')
  portal.fault('profile', { status: 302, headers: { location: 'https://acme.bitrix24.com/rest/profile' }, times: 1 })
  const moved = await fetch(`${portal.clientEndpoint}profile`, { redirect: 'manual' })
  t.strictSame([moved.status, moved.headers.get('location')], [302, 'https://acme.bitrix24.com/rest/profile'])
})

t.test('blocks a portal, whatever it is asked', async t => {
  const { portal, call } = await buildRest(t)
  const lift = portal.fault('*', { status: 503, body: { error: 'OVERLOAD_LIMIT', error_description: 'REST API is blocked due to overload.' } })
  for (const method of ['profile', 'batch', 'api/tasks.task.get']) t.match(await call(method), { status: 503, body: { error: 'OVERLOAD_LIMIT' } }, method)
  lift()
  t.equal((await call('profile')).status, 200)
})

t.test('misbehaves at the OAuth server for one portal', async t => {
  const { b24, portal } = await buildRest(t)
  const other = b24.portal('other.bitrix24.com')
  const key = secret()
  b24.app({ clientId: 'local.mine', clientSecret: key })
  const refresh = async (from = portal, keys: object = {}) => {
    const { refreshToken } = from.issue({ clientId: 'local.mine' })
    const fields = { grant_type: 'refresh_token', client_id: 'local.mine', client_secret: key, refresh_token: refreshToken, ...keys }
    const response = await fetch(`${b24.oauthServer}/oauth/token/`, { method: 'POST', body: new URLSearchParams(fields) })
    return [response.status, (await response.json() as { error?: string }).error]
  }
  const lift = b24.fault('token', { status: 400, body: { error: 'invalid_client' }, portal })
  t.strictSame(await refresh(), [400, 'invalid_client'])
  t.strictSame(await refresh(other), [200, undefined])
  lift()
  t.strictSame(await refresh(), [200, undefined])
  b24.fault('app.info', { status: 503, portal })
  const info = async (from: typeof portal) => (await fetch(`${b24.oauthServer}/rest/app.info?auth=${from.issue().accessToken}`)).status
  t.strictSame([await info(portal), await info(other)], [503, 200])

  const cases: Array<[keys: object, status: number, error: string]> = [
    [{ client_id: 'nobody', client_secret: 'x', refresh_token: 'x', grant_type: 'x' }, 200, 'wrong_client'],
    [{ client_secret: 'x', refresh_token: 'x', grant_type: 'x' }, 400, 'invalid_client'],
    [{ client_secret: 'x' }, 400, 'invalid_client'],
    [{ grant_type: 'x', refresh_token: 'x' }, 400, 'invalid_request'],
    [{ refresh_token: '' }, 400, 'invalid_request'],
    [{ refresh_token: 'x' }, 400, 'invalid_grant']
  ]
  for (const [keys, status, error] of cases) t.strictSame(await refresh(portal, keys), [status, error], JSON.stringify(keys))
})
