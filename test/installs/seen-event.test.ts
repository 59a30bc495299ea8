import t from 'tap'
import { TOKEN_GRACE_MS } from '../../src/installs/application-token.ts'
import type { Install } from '../../src/installs/install.ts'
import { applySeen, type SeenEvent } from '../../src/installs/seen-event.ts'
import { buildWorld } from '../helpers/app.ts'

const NOW = 1_000_000_000
const HOUR_MS = 3_600_000
const known: Install = {
  memberId: 'a',
  state: 'active',
  domain: 'a.example',
  clientEndpoint: 'https://a.example/rest/',
  oauthServer: 'https://oauth.example',
  token: 'T2',
  previousToken: { digest: 'T1', expiresAt: NOW + 1 },
  scope: ['crm', 'task'],
  status: 'L',
  ts: 100,
  installedAt: 1,
  updatedAt: 1
}
const event: SeenEvent = { ts: 200, tokenDigest: 'T2', scope: ['task', 'crm'], status: 'L' }

t.test('what a verified event changes in the record of its portal', async t => {
  const { previousToken: _, ...one } = known
  const table: Array<[what: string, install: Install, event: SeenEvent, changes: Partial<Install> | 'nothing']> = [
    ['nothing new', known, event, 'nothing'],
    ['no scope and no status', known, { ...event, scope: [], status: undefined }, 'nothing'],
    ['another scope', known, { ...event, scope: ['crm'] }, { scope: ['crm'], seenTs: 200 }],
    ['another status', known, { ...event, status: 'P' }, { status: 'P', seenTs: 200 }],
    ['from the future', known, { ...event, ts: 1e12, status: 'P' }, { status: 'P', seenTs: NOW / 1000 }],
    ['older than the install', known, { ...event, ts: 99, status: 'P' }, 'nothing'],
    ['older than one that was taken', { ...known, seenTs: 300 }, { ...event, status: 'P' }, 'nothing'],
    ['without a time', known, { ...event, ts: undefined, status: 'P' }, 'nothing'],
    ['of a portal that removed the app', { ...known, state: 'uninstalled' }, { ...event, status: 'P' }, 'nothing'],
    ['with the token before', known, { ...event, tokenDigest: 'T1' }, { token: 'T1', previousToken: { digest: 'T2', expiresAt: NOW + TOKEN_GRACE_MS }, seenTs: 200 }],
    ['with the token before, made before the install that changed it', known, { ...event, tokenDigest: 'T1', ts: 90 }, 'nothing'],
    ['with the token before, which has just been changed', { ...known, previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS - HOUR_MS + 1 } }, { ...event, tokenDigest: 'T1' }, 'nothing'],
    ['with the token before, which has lapsed', { ...known, previousToken: { digest: 'T1', expiresAt: NOW } }, { ...event, tokenDigest: 'T1' }, 'nothing'],
    ['where there is one token', one, event, 'nothing']
  ]
  for (const [what, install, seen, changes] of table) {
    const next = applySeen(install, seen, NOW)
    if (changes === 'nothing') t.equal(next, install, what)
    else t.strictSame(next, { ...install, ...changes, updatedAt: NOW }, what)
  }
})

for (const mode of ['inline', 'queue'] as const) {
  t.test(`the portal follows its events, ${mode}`, async t => {
    const { app, b24, eventsUrl } = await buildWorld(t, { delivery: { mode } })
    const portal = b24.portal('acme.bitrix24.com')
    const second = Math.floor(Date.now() / 1000)
    await portal.install(eventsUrl, { ts: second - 50 })
    for (let i = 0; i < 500 && await app.bitrix24.portal(portal.memberId) === undefined; i++) await new Promise(resolve => setTimeout(resolve, 20))
    const told = async () => {
      const { scope, status } = (await app.bitrix24.portal(portal.memberId))!
      return [scope, status]
    }
    const send = async (ts: number, auth: object) => (await portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } }, { ts, auth: { ...auth } })).statusCode
    t.equal(await send(second - 20, { scope: 'crm,im', status: 'P' }), 200)
    t.strictSame(await told(), [['crm', 'im'], 'P'])
    t.equal(await send(second - 30, { scope: 'task', status: 'F' }), 200)
    t.strictSame(await told(), [['crm', 'im'], 'P'], 'an older one changes nothing')
    t.equal(await send(second - 10, { scope: 'task', status: 'F', application_token: 'forged' }), 403)
    t.strictSame(await told(), [['crm', 'im'], 'P'], 'nor does one that nothing verifies')
  })
}
