import t from 'tap'
import { type AccessFact, type AccessOutcome, applyAccessFact, applyAuthFact, type AuthFact } from '../../src/installs/access-transitions.ts'
import { TOKEN_GRACE_MS } from '../../src/installs/application-token.ts'
import type { Install, EncryptedPair, Suspension } from '../../src/installs/install.ts'
import { buildWorld } from '../helpers/app.ts'

const NOW = 1_000_000_000

const pair = (encrypted: string, generation: number): EncryptedPair => ({ encrypted, userId: 1, expiresAt: 1, generation, refreshedAt: 1 })
const dead = (encrypted: string, generation: number): EncryptedPair => ({ ...pair(encrypted, generation), isDead: true })

const active: Install = {
  memberId: 'a',
  state: 'active',
  domain: 'old.example',
  clientEndpoint: 'https://old.example/rest/',
  oauthServer: 'https://oauth.example',
  token: 'T1',
  installer: pair('installer', 4),
  systemUser: pair('system', 5),
  generation: 5,
  scope: ['crm'],
  status: 'L',
  ts: 100,
  installedAt: 100_000,
  updatedAt: 100_000
}
const { systemUser: _, ...alone } = active
const { installer: __, systemUser: ___, ...bare } = active
const suspension = { reason: 'payment_required' as const, retryAt: NOW + 1 }
const suspended: Install = { ...active, state: 'suspended', suspension }
const refusing: Install = { ...suspended, suspension: { ...suspension, by: 'portal' } }
const lost: Install = { ...active, state: 'reauth_required', installer: dead('installer', 4), systemUser: dead('system', 5) }

const refreshed = {
  type: 'refreshed',
  owner: 'installer',
  generation: 4,
  pair: { encrypted: 'new', userId: 2, expiresAt: 9 },
  clientEndpoint: 'https://old.example/rest/',
  domain: 'old.example',
  scope: ['crm', 'task'],
  status: 'F'
} as const satisfies Omit<AccessFact & { type: 'refreshed' }, 'scope'> & { scope: readonly string[] }
const answer = (over: object = {}) => ({ ...refreshed, ...over }) as unknown as AccessFact
const revoked = (owner: 'installer' | 'systemUser', generation: number): AccessFact => ({ type: 'revoked', owner, generation })
const refused = (generation: number, over: Partial<Suspension> = {}): AccessFact => {
  return { type: 'refused', owner: 'installer', generation, suspension: { ...suspension, ...over } }
}
const answered = (generation: number): AccessFact => ({ type: 'answered', owner: 'installer', generation })
const located = (domain: string): AccessFact => ({ type: 'located', domain, clientEndpoint: `https://${domain}/rest/` })

const kept = { encrypted: 'new', userId: 2, expiresAt: 9, generation: 6, refreshedAt: NOW }
const news = { scope: ['crm', 'task'], status: 'F', generation: 6, updatedAt: NOW }

t.test('a record and a response result in an outcome and the next record', async t => {
  const table: Array<[name: string, known: Install | undefined, fact: AccessFact, outcome: AccessOutcome, next: Install | 'nothing']> = [
    ['a new pair', active, answer(), 'refreshed', { ...active, ...news, installer: kept }],
    ['a new pair of the system user', active, answer({ owner: 'systemUser', generation: 5 }), 'refreshed', { ...active, ...news, systemUser: kept }],
    ['a new pair that names no scope and no status', active, answer({ scope: [], status: undefined }), 'refreshed',
      { ...active, installer: kept, generation: 6, updatedAt: NOW }],
    ['a new pair from another address', active, answer({ clientEndpoint: 'https://new.example/rest/', domain: 'new.example' }), 'refreshed',
      { ...active, ...news, installer: kept, clientEndpoint: 'https://new.example/rest/', domain: 'new.example' }],
    ['a new pair from an address whose host is not the domain', { ...active, domain: 'acme.example' }, answer(), 'refreshed',
      { ...active, ...news, installer: kept, domain: 'acme.example' }],
    ['a new pair where the portal had not paid', suspended, answer(), 'refreshed', { ...active, ...news, installer: kept }],
    ['a new pair where the portal itself refuses the app', refusing, answer(), 'refreshed', { ...refusing, ...news, installer: kept }],
    ['a new pair of one that was given up', lost, answer(), 'refreshed', { ...lost, state: 'active', ...news, installer: kept }],
    ['a new pair of one from before pairs were counted', { ...alone, installer: { encrypted: 'installer', expiresAt: 1 }, generation: undefined as never },
      answer({ generation: 0 }), 'refreshed', { ...alone, ...news, installer: { ...kept, generation: 1 }, generation: 1 }],
    ['a new pair of an older one', active, answer({ generation: 3 }), 'stale', 'nothing'],
    ['a new pair of one that has gone', bare, answer(), 'stale', 'nothing'],
    ['a new pair after the uninstall', { ...active, state: 'uninstalled' }, answer(), 'stale', 'nothing'],
    ['a new pair of an unknown portal', undefined, answer(), 'stale', 'nothing'],

    ['a dead pair beside a good one', active, revoked('installer', 4), 'revoked', { ...active, installer: dead('installer', 4), updatedAt: NOW }],
    ['a dead pair of the system user', active, revoked('systemUser', 5), 'revoked', { ...active, systemUser: dead('system', 5), updatedAt: NOW }],
    ['the only pair is dead', alone, revoked('installer', 4), 'reauth-required',
      { ...alone, state: 'reauth_required', installer: dead('installer', 4), updatedAt: NOW }],
    ['the last pair is dead', { ...suspended, installer: dead('installer', 4) }, revoked('systemUser', 5), 'reauth-required',
      { ...lost, updatedAt: NOW }],
    ['a dead pair that is known as dead', lost, revoked('installer', 4), 'stale', 'nothing'],
    ['a dead pair that was replaced', active, revoked('installer', 3), 'stale', 'nothing'],

    ['no tokens for the portal', active, refused(4), 'suspended', { ...suspended, updatedAt: NOW }],
    ['no tokens for the portal still', { ...suspended, suspension: { ...suspension, retryAt: 1 } }, refused(4), 'still-suspended', { ...suspended, updatedAt: NOW }],
    ['no tokens for the portal, as another process has kept already', suspended, refused(4, { retryAt: NOW + 9 }), 'still-suspended', 'nothing'],
    ['no tokens for the portal, for another reason than before', suspended, refused(4, { reason: 'uninstalled' }), 'still-suspended',
      { ...suspended, suspension: { ...suspension, reason: 'uninstalled' }, updatedAt: NOW }],
    ['no tokens, as was said before there was a newer pair', active, refused(3), 'stale', 'nothing'],
    ['no tokens, as was said of a pair that is dead by now', { ...active, installer: dead('installer', 4) }, refused(4), 'stale', 'nothing'],
    ['no tokens after the uninstall', { ...active, state: 'uninstalled' }, refused(4), 'stale', 'nothing'],
    ['the portal refuses the app', active, refused(4, { by: 'portal' }), 'suspended', { ...refusing, updatedAt: NOW }],
    ['the portal refuses the app still', { ...refusing, suspension: { ...suspension, by: 'portal', retryAt: NOW } }, refused(4, { by: 'portal' }), 'still-suspended',
      { ...refusing, updatedAt: NOW }],

    ['an answer of a portal that had refused the app', refusing, answered(4), 'resumed', { ...active, updatedAt: NOW }],
    ['an answer to an older token', refusing, answered(3), 'stale', 'nothing'],
    ['an answer to a token whose user was refused since', { ...refusing, installer: dead('installer', 4) }, answered(4), 'stale', 'nothing'],
    ['an answer of a portal for which there are no tokens', suspended, answered(4), 'stale', 'nothing'],
    ['an answer of a portal that had not refused the app', active, answered(4), 'stale', 'nothing'],

    ['another address', active, located('new.example'), 'located',
      { ...active, domain: 'new.example', clientEndpoint: 'https://new.example/rest/', updatedAt: NOW }],
    ['the address that is known', active, located('old.example'), 'stale', 'nothing'],
    ['an address after the uninstall', { ...active, state: 'uninstalled' }, located('new.example'), 'stale', 'nothing']
  ]
  for (const [name, known, fact, outcome, next] of table) {
    const before = structuredClone(known)
    const transition = applyAccessFact(known, fact, NOW)
    t.equal(transition.outcome, outcome, name)
    t.strictSame(known, before, `${name}: the record given stays as it was`)
    if (next === 'nothing') t.equal(transition.install, known, `${name}: nothing to write`)
    else t.strictSame(transition.install, next, `${name}: the next record`)
  }
})

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
const event: AuthFact = { ts: 200, tokenDigest: 'T2', scope: ['task', 'crm'], status: 'L' }

t.test('what a verified event changes in the record of its portal', async t => {
  const { previousToken: _, ...one } = known
  const table: Array<[what: string, install: Install, event: AuthFact, changes: Partial<Install> | 'nothing']> = [
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
    const next = applyAuthFact(install, seen, NOW)
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
