import t from 'tap'
import type { Install } from '../../src/index.ts'
import { Portals, parseInstallation } from '../../src/portal/portal.ts'
import { isPrivateAddress } from '../../src/portal/rest/address-guard.ts'

t.test('recognizes private addresses', t => {
  const cases: Array<[host: string, isPrivate: boolean]> = [
    ['acme.bitrix24.com', false],
    ['box.example.ru:8443', false],
    ['8.8.8.8', false],
    ['[2a00:1450::1]', false],
    ['127.0.0.1', true],
    ['127.9.9.9:8080', true],
    ['10.1.2.3', true],
    ['172.31.0.1', true],
    ['172.32.0.1', false],
    ['192.168.0.10', true],
    ['169.254.169.254', true],
    ['100.64.0.1', true],
    ['0.0.0.0', true],
    ['2130706433', true],
    ['0x7f.1', true],
    ['[::1]', true],
    ['[::ffff:127.0.0.1]', true],
    ['[fd00::1]', true],
    ['[fe80::1]', true],
    ['[fec0::1]', true],
    ['[2002:7f00:1::]', true],
    ['[64:ff9b:1::1]', true],
    ['box.lan', true],
    ['redis.', true],
    ['localhost', true],
    ['intranet', true],
    ['box.local', true],
    ['box.localhost.', true],
    ['metadata.google.internal', true]
  ]
  for (const [host, isPrivate] of cases) t.equal(isPrivateAddress(`http://${host}/rest/`), isPrivate, host)
  t.end()
})

t.test('a portal as JSON contains no secret and no REST URL', t => {
  const install: Install = {
    memberId: 'm',
    state: 'active',
    domain: 'acme.bitrix24.com',
    clientEndpoint: 'https://acme.bitrix24.com/rest/',
    oauthServer: 'https://oauth.bitrix.info',
    token: 'digest',
    installer: { encrypted: 'encrypted', userId: 7, expiresAt: 1 },
    scope: ['crm'],
    ts: 1,
    installedAt: 2,
    updatedAt: 3
  }
  const portal = new Portals({} as never).of(install)
  t.strictSame(JSON.parse(JSON.stringify(portal)), { memberId: 'm', domain: 'acme.bitrix24.com', state: 'active', scope: ['crm'] })
  t.match(portal, { userId: 7, installedAt: 2, clientEndpoint: 'https://acme.bitrix24.com/rest/', version: undefined })
  t.end()
})

t.test('parses or drops every form of app.info', async t => {
  t.match(parseInstallation({ INSTALLED: true, VERSION: 3, STATUS: 'P', LICENSE: 'ru_basic', PAYMENT_EXPIRED: 'N' }), { isFinished: true, version: '3', status: 'P', license: 'ru_basic', isPaymentExpired: false })
  for (const odd of [{ toString: 1 }, { toString: { a: 1 }, valueOf: 1 }, [[]], null, true]) {
    t.match(parseInstallation({ INSTALLED: odd, VERSION: odd, STATUS: odd, LICENSE: odd }), { version: undefined, status: undefined, license: undefined })
  }
  for (const none of [undefined, null, [], 'no']) t.match(parseInstallation(none), { isFinished: false, version: undefined })
})
