import t from 'tap'
import type { Install, EncryptedPair } from '../../src/installs/install.ts'
import { applyFact, type InstallFact, type OpenedFact, type FactOutcome, type VerifiedInstall } from '../../src/installs/install-transitions.ts'

const NOW = 1_000_000_000
const SECOND = NOW / 1000
const pair = (name: string, expiresAt = 9, userId = 1): EncryptedPair => ({ encrypted: name, userId, expiresAt })
/** As stored. */
const kept = (given: EncryptedPair, generation = 1): EncryptedPair => ({ ...given, generation, refreshedAt: NOW })

const verified: VerifiedInstall = {
  memberId: 'a',
  domain: 'acme.example',
  clientEndpoint: 'https://acme.example/rest/',
  oauthServer: 'https://oauth.example',
  tokenDigest: 'T1',
  pair: pair('new'),
  isRefreshed: true,
  scope: ['crm'],
  status: 'F'
}
const opened: OpenedFact = { type: 'opened', ts: SECOND, version: '1', isFinished: false, ...verified }
const open: OpenedFact = { ...opened, isFinished: true }

/** Record after an install through the page a minute ago. */
const byPage: Install = {
  memberId: 'a',
  state: 'active',
  domain: 'acme.example',
  clientEndpoint: 'https://acme.example/rest/',
  oauthServer: 'https://oauth.example',
  token: 'T1',
  installer: kept(pair('old', 8)),
  generation: 1,
  scope: ['crm'],
  status: 'F',
  version: '1',
  ts: SECOND - 60,
  pageTs: SECOND - 60,
  installedAt: NOW - 60_000,
  updatedAt: NOW - 60_000
}
const { pageTs: _pageTs, ...byEvent } = byPage
const { installer: _installer, ...rest } = byPage
const gone: Install = { ...rest, state: 'uninstalled' }
const installed = (change: object = {}): InstallFact => ({ type: 'installed', ...verified, version: '1', ts: SECOND, ...change })

type Row = [what: string, known: Install | undefined, fact: InstallFact, outcome: FactOutcome, changes: Partial<Install> | 'nothing']

const TABLE: Row[] = [
  ['the page of a new portal', undefined, opened, 'installed', { state: 'active', token: 'T1', installer: kept(pair('new')), version: '1', ts: SECOND, pageTs: SECOND, installedAt: NOW }],
  ['the page of a new portal, from the future', undefined, { ...opened, ts: SECOND + 9 }, 'installed', { ts: SECOND, pageTs: SECOND }],
  ['the page of a portal that had removed the app', gone, opened, 'reinstalled', { state: 'active', installer: kept(pair('new'), 2), ts: SECOND, pageTs: SECOND, installedAt: byPage.installedAt }],
  ['the same page again', byPage, { ...opened, pair: pair('old', 8) }, 'repeated', 'nothing'],
  ['the page again, with a newer pair', byPage, opened, 'repeated', { installer: kept(pair('new'), 2), generation: 2, ts: byPage.ts, pageTs: byPage.ts }],
  ['the page by another admin, who installs', byPage, { ...opened, pair: pair('other', 9, 2) }, 'repeated', { installer: kept(pair('other', 9, 2), 2) }],
  ['the app opened by another admin', byPage, { ...open, pair: pair('other', 9, 2) }, 'repeated', 'nothing'],
  ['the app opened by the installer', byPage, open, 'repeated', 'nothing'],
  ['the page again, with a pair whose refresh token nobody tried', byPage, { ...opened, isRefreshed: false }, 'repeated', 'nothing'],
  ['the app opened by another admin, where the pair is dead', { ...byPage, installer: { ...pair('old'), isDead: true } }, { ...open, pair: pair('other', 1, 2) }, 'repeated',
    { installer: kept(pair('other', 1, 2), 2) }],
  ['the app opened by another admin, where none was good', { ...byPage, state: 'reauth_required' }, { ...open, pair: pair('other', 1, 2) }, 'repeated',
    { state: 'active', installer: kept(pair('other', 1, 2), 2) }],
  ['the app opened by another admin, where the portal had not paid', { ...byPage, state: 'suspended', suspension: { reason: 'payment_required', retryAt: NOW + 1 } },
    { ...open, pair: pair('other', 9, 2) }, 'repeated', { state: 'active', installer: byPage.installer as EncryptedPair }],
  ['the app opened at another address', byPage, { ...open, domain: 'new.example', pair: pair('old', 8) }, 'repeated', { domain: 'new.example' }],
  ['the page with another token', byPage, { ...opened, tokenDigest: 'T2', pair: pair('old', 8) }, 'repeated', { token: 'T2', previousToken: { digest: 'T1', expiresAt: NOW + 86_400_000 } }],
  ['the page of a later version', byEvent, { ...opened, version: '2' }, 'updated', { version: '2', pageTs: SECOND, ts: byEvent.ts }],
  ['the page of an earlier version', byEvent, { ...opened, version: '0', pair: pair('old', 8) }, 'repeated', 'nothing'],
  ['the page of a version that is written in another way', { ...byEvent, version: '1.0.0' }, { ...opened, version: '2', pair: pair('old', 8) }, 'repeated', 'nothing'],
  ['the app opened, whatever version it has', byEvent, { ...open, version: '2', pair: pair('old', 8) }, 'repeated', 'nothing'],

  ['the event after the page', byPage, installed(), 'repeated', { ts: SECOND, installer: byPage.installer as EncryptedPair }],
  ['the event after the page, with a version of its own', byPage, installed({ version: '1.0.0', pair: pair('old', 8) }), 'repeated', { version: '1.0.0', ts: SECOND }],
  ['the event after the page, without a version', byPage, installed({ version: undefined, pair: pair('old', 8) }), 'repeated', { version: '1', ts: SECOND }],
  ['the event after the page, of another user', byPage, installed({ pair: pair('other', 9, 2) }), 'repeated', { installer: byPage.installer as EncryptedPair, ts: SECOND }],
  ['the event after the page, where the pair is dead', { ...byPage, installer: { ...pair('old'), isDead: true } }, installed({ pair: pair('other', 9, 2) }), 'repeated',
    { installer: kept(pair('other', 9, 2), 2) }],
  ['the event from before the page', byPage, installed({ ts: SECOND - 600, pair: pair('old', 8) }), 'repeated', 'nothing'],
  ['the event after the page with another token', byPage, installed({ tokenDigest: 'T2' }), 'reinstalled', { token: 'T2' }],
  ['the event of a later version', byPage, installed({ version: '2' }), 'updated', { version: '2' }],
  ['an event long after the page', { ...byPage, pageTs: SECOND - 3601 }, installed(), 'reinstalled', { ts: SECOND }],
  ['an event long before the page', { ...byPage, pageTs: SECOND }, installed({ ts: SECOND - 3601 }), 'stale', 'nothing'],
  ['an update of the same version after the page', byPage, { type: 'updated', ts: SECOND, version: '1', verified }, 'repeated', { ts: SECOND }],
  ['an uninstall after the page', byPage, { type: 'uninstalled', ts: SECOND }, 'uninstalled', { state: 'uninstalled' }]
]

t.test('an install page and a record result in an outcome and the next record', async t => {
  for (const [what, known, fact, outcome, changes] of TABLE) {
    const before = JSON.stringify(known)
    const transition = applyFact(known, fact, NOW)
    t.equal(transition.outcome, outcome, what)
    if (changes === 'nothing') t.equal(transition.install, known, what)
    else t.match(transition.install, changes, what)
    t.equal(JSON.stringify(known), before, `${what}: the record that was given is as it was`)
    t.equal(transition.install?.suspension, undefined, what)
  }
})

t.test('a page and an event of one install, in any order, install once', async t => {
  const orders: InstallFact[][] = [[opened, installed()], [installed(), opened], [installed({ ts: SECOND - 600 }), opened], [opened, installed({ ts: SECOND - 600 })], [opened, opened, installed(), open]]
  for (const order of orders) {
    let install: Install | undefined
    const outcomes: FactOutcome[] = []
    for (const fact of order) {
      const transition = applyFact(install, fact, NOW)
      install = transition.install
      outcomes.push(transition.outcome)
    }
    t.strictSame(outcomes, ['installed', ...order.slice(1).map(() => 'repeated')])
  }
})
