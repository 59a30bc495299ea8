import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { FST_B24_DECRYPTION_FAILED } from '../../src/errors.ts'
import { createEncryptor, type Encryptor } from '../../src/oauth/encryption.ts'
import { secret } from '../helpers/secrets.ts'

const clientSecret = secret()
const NO_KEY = 'no key fits; if clientSecret or encryptionKeys changed, add the former one to encryptionKeys, or install the app on that portal again'
const memberId = 'a223c6b3710f85df22e9377d6c4f7553'
const pair = {
  accessToken: secret().padEnd(70, 'a'),
  refreshToken: secret().padEnd(70, 'b'),
  expiresAt: 1_800_000_000_000
}

function refuses (t: Test, encryptor: Encryptor, encrypted: string, reason: string, portal = memberId): void {
  let error: unknown
  try {
    encryptor.decrypt(encrypted, portal)
  } catch (caught) {
    error = caught
  }
  t.ok(error instanceof FST_B24_DECRYPTION_FAILED)
  t.equal((error as Error).message, `Cannot decrypt stored tokens: ${reason}`)
  const faces = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error)
  t.notOk([pair.accessToken, pair.refreshToken, clientSecret, encrypted].some(value => value !== '' && faces.includes(value)), 'holds no content')
}

t.test('decrypts what it encrypted, for any tokens', async t => {
  const encryptor = createEncryptor([], clientSecret, 'local.app')
  for (const given of [pair, { accessToken: '', refreshToken: '"é\u0000😀', expiresAt: 0 }]) {
    t.strictSame(encryptor.decrypt(encryptor.encrypt(given, memberId), memberId), given)
  }
})

t.test('encrypts to short, unique texts', async t => {
  const encryptor = createEncryptor([randomBytes(32)], clientSecret, 'local.app')
  const encrypted = encryptor.encrypt(pair, memberId)
  t.match(encrypted, /^[\w-]{8}\.[\w-]+$/)
  t.ok(encrypted.length < 330, `${encrypted.length} characters`)
  t.not(encryptor.encrypt(pair, memberId), encrypted)
})

t.test('decrypts with every key, encrypts with the first', async t => {
  const [older, newer] = [secret().padEnd(40, '0'), randomBytes(32)]
  const before = createEncryptor([], clientSecret, 'local.app').encrypt(pair, memberId)
  const then = createEncryptor([older], clientSecret, 'local.app').encrypt(pair, memberId)
  const now = createEncryptor([newer, older], clientSecret, 'local.app')
  t.strictSame(now.decrypt(before, memberId), pair)
  t.strictSame(now.decrypt(then, memberId), pair)
  t.strictSame(createEncryptor([newer], clientSecret, 'local.app').decrypt(now.encrypt(pair, memberId), memberId), pair)
  refuses(t, createEncryptor([newer], clientSecret, 'local.app'), then, NO_KEY)
})

t.test('does not decrypt modified texts or with other keys', async t => {
  const encryptor = createEncryptor([], clientSecret, 'local.app')
  const encrypted = encryptor.encrypt(pair, memberId)
  const [id, text] = encrypted.split('.') as [string, string]
  const bytes = Buffer.from(text, 'base64url')
  for (const place of [0, 12, 28, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed[place]! ^= 1
    refuses(t, encryptor, `${id}.${changed.toString('base64url')}`, 'not authentic')
  }
  refuses(t, encryptor, `${id}.${bytes.subarray(0, 20).toString('base64url')}`, 'not authentic')
  refuses(t, encryptor, `${id}.`, 'not authentic')
  refuses(t, encryptor, id, 'not authentic')
  refuses(t, encryptor, '', NO_KEY)
  refuses(t, encryptor, encrypted, 'not authentic', 'b'.repeat(32))
  refuses(t, createEncryptor([], clientSecret, 'local.other'), encrypted, NO_KEY)
  refuses(t, createEncryptor([], secret(), 'local.app'), encrypted, NO_KEY)
})

t.test('a former clientSecret among the keys decrypts what was encrypted with it', async t => {
  const encrypted = createEncryptor([], clientSecret, 'local.app').encrypt(pair, memberId)
  t.strictSame(createEncryptor([clientSecret], secret(), 'local.app').decrypt(encrypted, memberId), pair)
})
