import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { FST_B24_SEAL_UNREADABLE } from '../../src/errors.ts'
import { createSealer, type Sealer } from '../../src/oauth/seal.ts'
import { secret } from '../helpers/secrets.ts'

const clientSecret = secret()
const NO_KEY = 'no key fits; if clientSecret or encryptionKeys changed, add the former one to encryptionKeys, or install the app on that portal again'
const memberId = 'a223c6b3710f85df22e9377d6c4f7553'
const pair = {
  accessToken: secret().padEnd(70, 'a'),
  refreshToken: secret().padEnd(70, 'b'),
  expiresAt: 1_800_000_000_000
}

function refuses (t: Test, sealer: Sealer, sealed: string, reason: string, portal = memberId): void {
  let error: unknown
  try {
    sealer.open(sealed, portal)
  } catch (caught) {
    error = caught
  }
  t.ok(error instanceof FST_B24_SEAL_UNREADABLE)
  t.equal((error as Error).message, `Sealed tokens cannot be opened: ${reason}`)
  const faces = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)
  t.notOk([pair.accessToken, pair.refreshToken, clientSecret, sealed].some(value => value !== '' && faces.includes(value)), 'holds no content')
}

t.test('opens what it sealed, for tokens of any kind', async t => {
  const sealer = createSealer([], clientSecret, 'local.app')
  for (const given of [pair, { accessToken: '', refreshToken: '"é\u0000😀', expiresAt: 0 }]) {
    t.strictSame(sealer.open(sealer.seal(given, memberId), memberId), given)
  }
})

t.test('seals small, and never the same way twice', async t => {
  const sealer = createSealer([randomBytes(32)], clientSecret, 'local.app')
  const sealed = sealer.seal(pair, memberId)
  t.match(sealed, /^[\w-]{8}\.[\w-]+$/)
  t.ok(sealed.length < 330, `${sealed.length} characters`)
  t.not(sealer.seal(pair, memberId), sealed)
})

t.test('opens with every key of the ring, and seals with the first', async t => {
  const [older, newer] = [secret().padEnd(40, '0'), randomBytes(32)]
  const before = createSealer([], clientSecret, 'local.app').seal(pair, memberId)
  const then = createSealer([older], clientSecret, 'local.app').seal(pair, memberId)
  const now = createSealer([newer, older], clientSecret, 'local.app')
  t.strictSame(now.open(before, memberId), pair)
  t.strictSame(now.open(then, memberId), pair)
  t.strictSame(createSealer([newer], clientSecret, 'local.app').open(now.seal(pair, memberId), memberId), pair)
  refuses(t, createSealer([newer], clientSecret, 'local.app'), then, NO_KEY)
})

t.test('does not open', async t => {
  const sealer = createSealer([], clientSecret, 'local.app')
  const sealed = sealer.seal(pair, memberId)
  const [id, text] = sealed.split('.') as [string, string]
  const bytes = Buffer.from(text, 'base64url')
  for (const place of [0, 12, 28, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[place]! ^= 1
    refuses(t, sealer, `${id}.${changed.toString('base64url')}`, 'not authentic')
  }
  refuses(t, sealer, `${id}.${bytes.subarray(0, 20).toString('base64url')}`, 'not authentic')
  refuses(t, sealer, `${id}.`, 'not authentic')
  refuses(t, sealer, id, 'not authentic')
  refuses(t, sealer, '', NO_KEY)
  refuses(t, sealer, sealed, 'not authentic', 'b'.repeat(32))
  refuses(t, createSealer([], clientSecret, 'local.other'), sealed, NO_KEY)
  refuses(t, createSealer([], secret(), 'local.app'), sealed, NO_KEY)
})

t.test('a former clientSecret among the keys opens what was sealed with it', async t => {
  const sealed = createSealer([], clientSecret, 'local.app').seal(pair, memberId)
  t.strictSame(createSealer([clientSecret], secret(), 'local.app').open(sealed, memberId), pair)
})
