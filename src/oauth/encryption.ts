import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { FST_B24_DECRYPTION_FAILED } from '../errors.ts'
import type { TokenPair } from './oauth-server.ts'

/** Encrypts token pairs for the store, and other secrets for the queue. */
export interface Encryptor {
  /** @returns `<key id>.<base64url of iv, tag and ciphertext>`, under 330 characters for tokens of 70 */
  encrypt (pair: TokenPair, memberId: string): string
  /** @throws FST_B24_DECRYPTION_FAILED when no key fits, or the text was encrypted for another portal or app */
  decrypt (encrypted: string, memberId: string): TokenPair
  /** Encrypts any text into the same format. */
  encryptText (text: string, memberId: string): string
  /** @throws FST_B24_DECRYPTION_FAILED as `decrypt` does */
  decryptText (encrypted: string, memberId: string): string
}

interface EncryptionKey {
  id: string
  secret: Buffer
}

const PURPOSE = 'fastify-bitrix24 token seal v1'
const NO_KEY = 'no key fits; if clientSecret or encryptionKeys changed, add the former one to encryptionKeys, or install the app on that portal again'
const CIPHER = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
const KEY_ID_BYTES = 6

/**
 * Creates the encryptor of one app: AES-256-GCM, with app and portal as additional authenticated data.
 *
 * @param keys newest first: the first encrypts, all decrypt. The key derived from `clientSecret` always comes last, so that tokens encrypted
 *   before `encryptionKeys` was set stay readable.
 */
export function createEncryptor (keys: ReadonlyArray<string | Buffer>, clientSecret: string, clientId: string): Encryptor {
  const ring = [...keys, clientSecret].map(key => deriveKey(key, clientId)) as [EncryptionKey, ...EncryptionKey[]]
  const [newest] = ring
  const encryptText = (text: string, memberId: string): string => {
    return `${newest.id}.${encrypt(newest.secret, text, additionalData(clientId, memberId)).toString('base64url')}`
  }
  const decryptText = (encrypted: string, memberId: string): string => {
    const [id, text = ''] = encrypted.split('.', 2)
    const key = ring.find(key => key.id === id)
    if (key === undefined) throw new FST_B24_DECRYPTION_FAILED(NO_KEY)
    return decrypt(key.secret, Buffer.from(text, 'base64url'), additionalData(clientId, memberId))
  }
  return {
    encrypt: (pair, memberId) => encryptText(serialize(pair), memberId),
    decrypt: (encrypted, memberId) => deserialize(decryptText(encrypted, memberId)),
    encryptText,
    decryptText
  }
}

function deriveKey (key: string | Buffer, clientId: string): EncryptionKey {
  const bytes = Buffer.from(hkdfSync('sha256', key, clientId, PURPOSE, KEY_BYTES + KEY_ID_BYTES))
  return { secret: bytes.subarray(0, KEY_BYTES), id: bytes.subarray(KEY_BYTES).toString('base64url') }
}

function additionalData (clientId: string, memberId: string): Buffer {
  return Buffer.from(JSON.stringify([clientId, memberId]))
}

function serialize ({ accessToken, refreshToken, expiresAt }: TokenPair): string {
  return JSON.stringify([accessToken, refreshToken, expiresAt])
}

function deserialize (text: string): TokenPair {
  const [accessToken, refreshToken, expiresAt] = JSON.parse(text) as [string, string, number]
  return { accessToken, refreshToken, expiresAt }
}

function encrypt (secret: Buffer, text: string, data: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, secret, iv).setAAD(data)
  const content = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), content])
}

function decrypt (secret: Buffer, bytes: Buffer, data: Buffer): string {
  const iv = bytes.subarray(0, IV_BYTES)
  const tag = bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)
  try {
    const decipher = createDecipheriv(CIPHER, secret, iv, { authTagLength: TAG_BYTES }).setAAD(data).setAuthTag(tag)
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
  } catch {
    throw new FST_B24_DECRYPTION_FAILED('not authentic')
  }
}
