import fc from 'fast-check'
import t from 'tap'
import { TOKEN_GRACE_MS } from '../../src/installs/application-token.ts'
import type { Install, EncryptedPair } from '../../src/installs/install.ts'
import { applyFact, type InstalledFact, type InstallFact, type FactOutcome, type VerifiedInstall } from '../../src/installs/install-transitions.ts'

const NOW = 1_000_000_000
const SECOND = NOW / 1000
const pair = (name: string, expiresAt = 1, userId = 1): EncryptedPair => ({ encrypted: name, userId, expiresAt })

const verified: VerifiedInstall = {
  memberId: 'a',
  domain: 'new.example',
  clientEndpoint: 'https://new.example/rest/',
  oauthServer: 'https://oauth.example',
  tokenDigest: 'T1',
  pair: pair('new', 2),
  isRefreshed: true,
  scope: ['crm'],
  status: 'F'
}
const installed: InstalledFact = { type: 'installed', ...verified, version: '2' }

/** A portal that installed version 1 at second 100. */
const active: Install = {
  memberId: 'a',
  state: 'active',
  domain: 'old.example',
  clientEndpoint: 'https://old.example/rest/',
  oauthServer: 'https://oauth.example',
  token: 'T1',
  installer: pair('old', 2),
  systemUser: pair('system', 2),
  scope: ['crm', 'task'],
  status: 'L',
  version: '1',
  ts: 100,
  installedAt: 100_000,
  updatedAt: 100_000
}
const { installer: _installer, systemUser: _systemUser, ...rest } = active
const gone: Install = { ...rest, state: 'uninstalled' }
const needsReauth: Install = { ...active, state: 'reauth_required' }
const suspended: Install = { ...active, state: 'suspended', suspension: { reason: 'payment_required', retryAt: NOW + 1 } }
const { version: _version, ...noVersion } = active

const taken = { domain: 'new.example', clientEndpoint: 'https://new.example/rest/', scope: ['crm'], status: 'F', installer: pair('new', 2) }

type Row = [name: string, known: Install | undefined, fact: InstallFact, outcome: FactOutcome, changes: Partial<Install> | 'nothing']

t.test('a record and a fact result in an outcome and the next record', async t => {
  const table: Row[] = [
    ['a first install', undefined, { ...installed, ts: 90 }, 'installed',
      { memberId: 'a', state: 'active', token: 'T1', oauthServer: 'https://oauth.example', ...taken, version: '2', ts: 90, installedAt: NOW }],
    ['a first install without version and status', undefined, omit({ ...installed, ts: 90 }, 'version', 'status'), 'installed', { state: 'active', ts: 90 }],
    ['a first install that tells no time', undefined, installed, 'installed', { ts: SECOND }],
    ['a first install from the future', undefined, { ...installed, ts: SECOND + 1e9 }, 'installed', { ts: SECOND }],
    ['an install after an uninstall', gone, { ...installed, tokenDigest: 'T2', ts: 101 }, 'reinstalled',
      { state: 'active', token: 'T2', ...taken, version: '2', ts: 101, installedAt: 100_000 }],
    ['an install in the second of the uninstall', gone, { ...installed, ts: 100 }, 'reinstalled', { state: 'active', ...taken, version: '2' }],
    ['an install that tells a time before the uninstall', gone, { ...installed, ts: 99 }, 'reinstalled', { state: 'active', ...taken, version: '2', ts: 100 }],
    ['an install that was proved before the uninstall came', { ...gone, updatedAt: NOW }, { ...installed, verifiedAt: NOW - 1, ts: 99 }, 'stale', 'nothing'],
    ['an install that was proved before an older uninstall came', { ...gone, updatedAt: NOW }, { ...installed, verifiedAt: NOW - 1, ts: 101 }, 'reinstalled', { state: 'active', ...taken, version: '2', ts: 101 }],
    ['an install that was proved after an uninstall of a later time', { ...gone, updatedAt: NOW - 1 }, { ...installed, verifiedAt: NOW, ts: 99 }, 'reinstalled', { state: 'active', ...taken, version: '2', ts: 100 }],
    ['an install older than the last', active, { ...installed, ts: 99 }, 'stale', 'nothing'],
    ['the same install again', active, { ...installed, ts: 100 }, 'repeated', 'nothing'],
    ['the same install again with a newer pair', active, { ...installed, pair: pair('newer', 3), ts: 100 }, 'repeated', { installer: pair('newer', 3) }],
    ['the same install again, where the pair was lost', needsReauth, { ...installed, pair: pair('newer', 3), ts: 100 }, 'repeated',
      { state: 'active', installer: pair('newer', 3) }],
    ['an install in the same second with another token', active, { ...installed, version: '1', tokenDigest: 'T2', ts: 100 }, 'reinstalled',
      { ...taken, token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS } }],
    ['an install by another user who knows the token', active, { ...installed, version: '1', pair: pair('other', 2, 2), ts: 101 }, 'reinstalled',
      { ...taken, installer: pair('other', 2, 2), ts: 101 }],
    ['an install by another user with another token', active, { ...installed, version: '1', tokenDigest: 'T2', pair: pair('other', 2, 2), ts: 101 }, 'reinstalled',
      { ...taken, installer: pair('old', 2), token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS }, ts: 101 }],
    ['an install by another user, where the pair was lost', needsReauth, { ...installed, version: '1', tokenDigest: 'T2', pair: pair('other', 2, 2), ts: 101 }, 'reinstalled',
      { ...taken, state: 'active', installer: pair('other', 2, 2), token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS }, ts: 101 }],
    ['a later install of the same version', active, { ...installed, version: '1', ts: 101 }, 'reinstalled', { ...taken, ts: 101 }],
    ['a later install of another version', active, { ...installed, ts: 101 }, 'updated', { ...taken, version: '2', ts: 101 }],
    ['a later install, the version before unknown', noVersion, { ...installed, ts: 101 }, 'reinstalled', { ...taken, version: '2', ts: 101 }],
    ['a later install without version and status', active, omit({ ...installed, ts: 101 }, 'version', 'status'), 'reinstalled',
      { ...taken, status: 'L', ts: 101 }],
    ['a later install, where the portal had not paid', suspended, { ...installed, ts: 101 }, 'updated',
      { ...taken, state: 'active', version: '2', ts: 101 }],
    ['an install by another user with another token, where the portal had not paid', suspended,
      { ...installed, version: '1', tokenDigest: 'T2', pair: pair('other', 2, 2), ts: 101 }, 'reinstalled',
      { ...taken, state: 'active', installer: pair('old', 2), token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS }, ts: 101 }],
    ['an install by another user with another token, where the pair is dead', { ...active, installer: { ...pair('old', 2), isDead: true } },
      { ...installed, version: '1', tokenDigest: 'T2', pair: pair('other', 2, 2), ts: 101 }, 'reinstalled',
      { ...taken, installer: pair('other', 2, 2), token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS }, ts: 101 }],
    ['an install by another user with another token, where there is no pair', omit(active, 'installer'),
      { ...installed, version: '1', tokenDigest: 'T2', pair: pair('other', 2, 2), ts: 101 }, 'reinstalled',
      { ...taken, installer: pair('other', 2, 2), token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS }, ts: 101 }],
    ['the same install again, where the pair is dead', { ...active, installer: { ...pair('old', 2), isDead: true } },
      { ...installed, pair: pair('new', 2), ts: 100 }, 'repeated', { installer: pair('new', 2) }],
    ['a later install, pairs counted', { ...active, generation: 7, installer: { ...pair('old', 2), generation: 7, refreshedAt: 5 } },
      { ...installed, version: '1', ts: 101 }, 'reinstalled', { ...taken, ts: 101 }],
    ['an install after an uninstall, pairs counted', { ...gone, generation: 7 }, { ...installed, ts: 101 }, 'reinstalled',
      { state: 'active', ...taken, version: '2', ts: 101 }],

    ['an update of an unknown portal', undefined, { type: 'updated', version: '2', ts: 101 }, 'unknown', 'nothing'],
    ['an update of a portal that is gone', gone, { type: 'updated', version: '2', ts: 101 }, 'unknown', 'nothing'],
    ['an update that nobody verified', active, { type: 'updated', version: '2', ts: 101 }, 'updated', { version: '2' }],
    ['an update come late', active, { type: 'updated', version: '2', ts: 99 }, 'stale', 'nothing'],
    ['an update to the version that runs', active, { type: 'updated', version: '1', ts: 101 }, 'repeated', 'nothing'],
    ['an update without a version', active, { type: 'updated', ts: 101 }, 'repeated', 'nothing'],
    ['a verified update', active, { type: 'updated', version: '2', ts: 101, verified }, 'updated', { ...taken, version: '2', ts: 101 }],
    ['a verified update with a new token', active, { type: 'updated', version: '2', ts: 101, verified: { ...verified, tokenDigest: 'T2' } }, 'updated',
      { ...taken, version: '2', ts: 101, token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + TOKEN_GRACE_MS } }],
    ['a verified update of the same version', active, { type: 'updated', version: '1', ts: 101, verified }, 'updated', { ...taken, ts: 101 }],
    ['a verified update come late', active, { type: 'updated', version: '2', ts: 99, verified }, 'stale', 'nothing'],
    ['a verified update of an unknown portal', undefined, { type: 'updated', version: '2', ts: 101, verified }, 'installed', { ...taken, version: '2' }],
    ['a verified update of a portal that is gone', gone, { type: 'updated', version: '2', ts: 101, verified }, 'reinstalled',
      { ...taken, state: 'active', version: '2', ts: 101 }],

    ['a system user of an unknown portal', undefined, { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 101 }, 'unknown', 'nothing'],
    ['a system user of a portal that is gone', gone, { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 101 }, 'unknown', 'nothing'],
    ['a first system user', omit(active, 'systemUser'), { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 101 }, 'user-ready', { systemUser: pair('user', 3) }],
    ['a system user with a newer pair', active, { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 101 }, 'user-ready', { systemUser: pair('user', 3) }],
    ['a system user that overtook the install', active, { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 99 }, 'user-ready', { systemUser: pair('user', 3) }],
    ['a system user, where no pair was good', needsReauth, { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 101 }, 'user-ready',
      { state: 'active', systemUser: pair('user', 3) }],
    ['a system user, where the portal had not paid', suspended, { type: 'userReady', isRefreshed: true, pair: pair('user', 3), ts: 101 }, 'user-ready',
      { state: 'active', systemUser: pair('user', 3) }],
    ['the same system user again', active, { type: 'userReady', isRefreshed: true, pair: pair('system', 2), ts: 101 }, 'repeated', 'nothing'],

    ['an uninstall of an unknown portal', undefined, { type: 'uninstalled', ts: 101 }, 'unknown', 'nothing'],
    ['an uninstall', active, { type: 'uninstalled', ts: 101 }, 'uninstalled', { state: 'uninstalled', ts: 101 }],
    ['an uninstall, where the portal had not paid', { ...suspended, generation: 7 }, { type: 'uninstalled', ts: 101 }, 'uninstalled', { state: 'uninstalled', ts: 101 }],
    ['an uninstall that tells no time', active, { type: 'uninstalled' }, 'uninstalled', { state: 'uninstalled', ts: SECOND }],
    ['an uninstall from the future', active, { type: 'uninstalled', ts: SECOND + 1e9 }, 'uninstalled', { state: 'uninstalled', ts: SECOND }],
    ['an uninstall in the second of the install', active, { type: 'uninstalled', ts: 100 }, 'stale', 'nothing'],
    ['an uninstall before the install, come late', active, { type: 'uninstalled', ts: 99 }, 'stale', 'nothing'],
    ['the same uninstall again', gone, { type: 'uninstalled', ts: 100 }, 'repeated', 'nothing'],
    ['an older uninstall', gone, { type: 'uninstalled', ts: 99 }, 'repeated', 'nothing'],
    ['a later uninstall', gone, { type: 'uninstalled', ts: 101 }, 'repeated', 'nothing']
  ]
  for (const [name, known, fact, outcome, changes] of table) {
    const before = structuredClone(known)
    const next = applyFact(known, fact, NOW)
    t.equal(next.outcome, outcome, name)
    t.strictSame(known, before, `${name}: the record given stays as it was`)
    if (changes === 'nothing') t.equal(next.install, known, `${name}: nothing to write`)
    else if (known === undefined) t.match(next.install, { ...changes, updatedAt: NOW }, `${name}: a new record`)
    else t.strictSame(next.install, expected(known, changes), `${name}: the changes and no other`)
  }
})

t.test('an uninstall keeps the digests and no pair', async t => {
  const rotated: Install = { ...active, previousToken: { digest: 'T0', expiresAt: NOW } }
  const { install } = applyFact(rotated, { type: 'uninstalled', ts: 101 }, NOW)
  t.match(install, { token: 'T1', previousToken: { digest: 'T0' } })
  t.notOk(install && ('installer' in install || 'systemUser' in install))
})

t.test('a forged uninstall of next year does not lock the portal out', async t => {
  const { install } = applyFact(active, { type: 'uninstalled', ts: SECOND + 31_536_000 }, NOW)
  t.equal(applyFact(install, { ...installed, ts: SECOND }, NOW + 500).outcome, 'reinstalled')
})

// All events have happened by then, and the OAuth server rejects pairs from before an uninstall.
t.test('the order of arrival does not decide whether a portal is installed', async t => {
  const kinds: Array<(ts: number) => InstallFact> = [
    ts => ({ ...installed, ts }),
    ts => ({ type: 'uninstalled', ts }),
    ts => ({ type: 'updated', version: String(ts), ts }),
    ts => ({ type: 'updated', version: String(ts), verified, ts }),
    ts => ({ type: 'userReady', isRefreshed: true, pair: pair('user', ts), ts })
  ]
  const facts = fc.uniqueArray(fc.record({ ts: fc.integer({ min: 101, max: 130 }), kind: fc.nat(kinds.length - 1) }), { selector: ({ ts }) => ts, maxLength: 8 })
    .map(list => list.map(({ ts, kind }) => kinds[kind]?.(ts) as InstallFact))
  const arrivals = facts.chain(list => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })))
  fc.assert(fc.property(fc.constantFrom(active, gone), arrivals, (known, [facts, arrived]) => {
    const sorted = facts.toSorted((a, b) => (a.ts as number) - (b.ts as number))
    const lastUninstall = Math.max(0, ...facts.filter(({ type }) => type === 'uninstalled').map(({ ts }) => ts as number))
    const isRefused = (fact: InstallFact) => bringsPair(fact) && (fact.ts as number) < lastUninstall
    const [inOrder, asArrived] = [sorted, arrived.filter(fact => !isRefused(fact))]
      .map(list => list.reduce<Install>((install, fact) => applyFact(install, fact, NOW).install as Install, known))
    return inOrder?.state === asArrived?.state && (inOrder?.state === 'uninstalled' || inOrder?.ts === asArrived?.ts)
  }), { numRuns: 2000 })
  t.pass()
})

function bringsPair (fact: InstallFact): boolean {
  return fact.type === 'installed' || fact.type === 'userReady' || (fact.type === 'updated' && fact.verified !== undefined)
}

/** The record with changes, as `applyFact` must write it: a new pair has the next generation. */
function expected (known: Install, changes: Partial<Install>): Install {
  const next: Install = { ...known, updatedAt: NOW, ...changes }
  for (const owner of ['installer', 'systemUser'] as const) {
    const change = changes[owner]
    if (change === undefined || change.encrypted === known[owner]?.encrypted) continue
    const generation = (known.generation ?? 0) + 1
    Object.assign(next, { generation, [owner]: { ...change, generation, refreshedAt: NOW } })
  }
  if (next.state === 'uninstalled') return omit(next, 'installer', 'systemUser', 'suspension')
  return next.state === 'suspended' ? next : omit(next, 'suspension')
}

function omit<T extends object, K extends keyof T> (value: T, ...keys: K[]): T {
  const copy = { ...value }
  for (const key of keys) delete copy[key]
  return copy
}
