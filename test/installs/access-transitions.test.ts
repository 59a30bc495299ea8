import t from 'tap'
import { applyAccessFact, type AccessFact, type AccessOutcome } from '../../src/installs/access-transitions.ts'
import type { Install, SealedPair, Suspension } from '../../src/installs/install.ts'

const NOW = 1_000_000_000

const pair = (sealed: string, generation: number): SealedPair => ({ sealed, userId: 1, expiresAt: 1, generation, refreshedAt: 1 })
const dead = (sealed: string, generation: number): SealedPair => ({ ...pair(sealed, generation), isDead: true })

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
  pair: { sealed: 'new', userId: 2, expiresAt: 9 },
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

const kept = { sealed: 'new', userId: 2, expiresAt: 9, generation: 6, refreshedAt: NOW }
const news = { scope: ['crm', 'task'], status: 'F', generation: 6, updatedAt: NOW }

t.test('a record and an answer make an outcome and the next record', async t => {
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
    ['a new pair of one from before pairs were counted', { ...alone, installer: { sealed: 'installer', expiresAt: 1 }, generation: undefined as never },
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
