import { createHash } from 'node:crypto'
import t from 'tap'
import { digestOfSent, digestToken, verifyToken, verifyUninstallToken, rotateToken, TOKEN_GRACE_MS } from '../../src/installs/application-token.ts'
import type { Install } from '../../src/installs/install.ts'
import { sampleInstall } from '../../src/testing/install-store-contract.ts'
import { secret } from '../helpers/secrets.ts'

const NOW = 1_790_000_000_000

t.test('digests a token with SHA-256', async t => {
  const token = secret()
  t.equal(digestToken(token), createHash('sha256').update(token).digest('base64url'))
})

t.test('verifies a portal by its token, or the previous one until it expires', async t => {
  const [current, previous, other] = [secret(), secret(), secret()]
  const before = sampleInstall('a', { token: digestToken(previous) })
  const install = rotateToken(before, digestToken(current), NOW)
  const unrotated = sampleInstall('a', { token: digestToken(current) })
  const gone: Install = { ...install, state: 'uninstalled' }
  const lapsed = NOW + TOKEN_GRACE_MS
  const table: Array<[name: string, install: Install | undefined, token: string | undefined, now: number, proves: boolean, uninstall: boolean]> = [
    ['the current token', install, current, NOW, true, true],
    ['the current token where there was no rotation', unrotated, current, NOW, true, true],
    ['the previous token in its last millisecond', install, previous, lapsed - 1, true, true],
    ['the previous token that has lapsed', install, previous, lapsed, false, false],
    ['another token', install, other, NOW, false, false],
    ['another token where there was no rotation', unrotated, other, NOW, false, false],
    ['the digest instead of the token', install, install.token, NOW, false, false],
    ['an absent token', install, undefined, NOW, false, false],
    ['an empty token', install, '', NOW, false, false],
    ['an empty token whose digest got stored', sampleInstall('a', { token: digestToken('') }), '', NOW, false, false],
    ['an unknown portal', undefined, current, NOW, false, false],
    ['an unknown portal and no token', undefined, undefined, NOW, false, false],
    ['the token of a portal that has uninstalled', gone, current, NOW, false, true],
    ['another token for a portal that has uninstalled', gone, other, NOW, false, false]
  ]
  for (const [name, install, token, now, proves, uninstall] of table) {
    t.equal(verifyToken(install, digestOfSent(token), now), proves, name)
    t.equal(verifyUninstallToken(install, digestOfSent(token), now), uninstall, `${name}, for an uninstall`)
  }
})

t.test('rotates only to another token', async t => {
  const install = sampleInstall('a', { token: 'one' })
  t.equal(rotateToken(install, 'one', NOW), install)
  const once = rotateToken(install, 'two', NOW)
  const lapses = NOW + TOKEN_GRACE_MS
  t.match(once, { token: 'two', previousToken: { digest: 'one', expiresAt: lapses } })
  t.match(rotateToken(once, 'three', lapses), { token: 'three', previousToken: { digest: 'two', expiresAt: lapses + TOKEN_GRACE_MS } })
})

t.test('two rotations in a row do not evict the previous token', async t => {
  const once = rotateToken(sampleInstall('a', { token: 'one' }), 'two', NOW)
  const lapses = NOW + TOKEN_GRACE_MS
  t.match(rotateToken(once, 'three', NOW + 1), { token: 'three', previousToken: { digest: 'one', expiresAt: lapses } })
  t.match(rotateToken(once, 'one', NOW + 1), { token: 'one', previousToken: { digest: 'two', expiresAt: lapses } }, 'back again')
})
