import Fastify from 'fastify'
import t, { type Test } from 'tap'
import type { PageOutcome } from '../../../src/delivery/install-from-page.ts'
import type { Receiver } from '../../../src/delivery/receive.ts'
import { FST_B24_NO_PUBLIC_URL } from '../../../src/errors.ts'
import { Portals } from '../../../src/portal/portal.ts'
import { eventRoutes } from '../../../src/routes/events.ts'
import type { InstallPageParts } from '../../../src/routes/install-page/route.ts'
import { sampleInstall } from '../../../src/testing/index.ts'

const install = sampleInstall('a'.repeat(32), { domain: 'acme.bitrix24.com', clientEndpoint: 'https://acme.bitrix24.com/rest/' })
const { clientEndpoint } = install

/** Posts the form of a page that results in `outcome` to an app with this subscribe function. */
async function post (t: Test, afterInstall: InstallPageParts['afterInstall'], outcome: Partial<PageOutcome> = {}) {
  const taken = { status: 'installed', portal: new Portals({} as never).of(install), clientEndpoint, isFinished: false, ...outcome } as PageOutcome
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(eventRoutes, { bodyLimit: 10_000, closeTimeoutMs: 0, receiver: {} as Receiver, page: { pages: { take: async () => taken }, options: {}, afterInstall } })
  return await app.inject({
    method: 'POST', url: '/install?DOMAIN=x', payload: `PLACEMENT=DEFAULT&member_id=${install.memberId}`, headers: { 'content-type': 'application/x-www-form-urlencoded' }
  })
}

t.test('the portal is subscribed before its page finishes the install', async t => {
  const asked: string[] = []
  const { statusCode, body, headers } = await post(t, async (memberId, signal) => {
    asked.push(memberId, String(signal.aborted))
    return { refused: [] }
  })
  t.strictSame(asked, [install.memberId, 'false'])
  t.equal(statusCode, 200)
  t.match(body, 'The app receives the changes that it needs')
  t.match(body, 'BX24.installFinish()')
  t.match(headers['content-security-policy'], /frame-ancestors https:\/\/acme\.bitrix24\.com$/)
})

t.test('events outside the scopes of the app are named, and do not prevent the install', async t => {
  const { body } = await post(t, async () => ({ refused: [{ event: 'ONTASKADD' }, { event: 'ON<B>' }] }))
  t.match(body, 'Not among the permissions of the app: ONTASKADD, ON&#60;B&#62;')
  t.match(body, 'BX24.installFinish()')
})

t.test('a portal that cannot be subscribed is not finished: the page can be opened again', async t => {
  const failures: Array<[afterInstall: InstallPageParts['afterInstall'], code: string]> = [
    [async () => ({ refused: [], error: { code: 'OPERATION_TIME_LIMIT' } }), 'OPERATION_TIME_LIMIT'],
    [async () => ({ refused: [], error: { code: '<meta http-equiv=refresh>' } }), 'FST_B24_PORTAL_CALL'],
    [async () => { throw new FST_B24_NO_PUBLIC_URL('x') }, 'FST_B24_NO_PUBLIC_URL'],
    [async () => { throw new DOMException('No answer in time', 'TimeoutError') }, 'FST_B24_PORTAL_UNAVAILABLE']
  ]
  for (const [afterInstall, code] of failures) {
    const { statusCode, body } = await post(t, afterInstall)
    t.equal(statusCode, 503)
    t.match(body, 'The app is stored, but does not receive changes yet')
    t.match(body, `503 ${code}`)
    t.notMatch(body, '<script')
  }
})

t.test('the page does not mention subscriptions if the app has none', async t => {
  t.notMatch((await post(t, undefined)).body, 'receives the changes')
  t.notMatch((await post(t, async () => undefined)).body, 'receives the changes')
})

t.test('an app without a page to finish is installed at once, and opening it subscribes nothing', async t => {
  const none = async (): Promise<never> => t.fail('not asked') as never
  t.match((await post(t, async () => ({ refused: [] }), { isFinished: true } as Partial<PageOutcome>)).body, 'The app is installed')
  t.match((await post(t, none, { status: 'open' })).body, 'The app is installed')
})
