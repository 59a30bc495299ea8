import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { FST_B24_SEAL_UNREADABLE } from '../errors.ts'
import type { TokenPair } from './token-pair.ts'

/** Seals token pairs for the store, and other secrets for the queue. */
export interface Sealer {
  /** @returns `<key id>.<base64url of iv, tag and ciphertext>`, under 330 characters for tokens of 70 */
  seal (pair: TokenPair, memberId: string): string
  /** @throws FST_B24_SEAL_UNREADABLE when no key is left that opens it, or it was sealed for another portal or app */
  open (sealed: string, memberId: string): TokenPair
  /** Seals any text in the same way. */
  sealText (text: string, memberId: string): string
  /** @throws FST_B24_SEAL_UNREADABLE as `open` does */
  openText (sealed: string, memberId: string): string
}

interface SealKey {
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
 * Makes the sealer of one app: AES-256-GCM, bound to the app and the portal.
 *
 * @param keys newest first: the first seals, the others only open. What was sealed before there were any still opens, as
 *   the key derived from `clientSecret` is always the last of them.
 */
export function createSealer (keys: ReadonlyArray<string | Buffer>, clientSecret: string, clientId: string): Sealer {
  const ring = [...keys, clientSecret].map(key => deriveKey(key, clientId)) as [SealKey, ...SealKey[]]
  const [newest] = ring
  const sealText = (text: string, memberId: string): string => {
    return `${newest.id}.${encrypt(newest.secret, text, boundTo(clientId, memberId)).toString('base64url')}`
  }
  const openText = (sealed: string, memberId: string): string => {
    const [id, text = ''] = sealed.split('.', 2)
    const key = ring.find(key => key.id === id)
    if (key === undefined) throw new FST_B24_SEAL_UNREADABLE(NO_KEY)
    return decrypt(key.secret, Buffer.from(text, 'base64url'), boundTo(clientId, memberId))
  }
  return {
    seal: (pair, memberId) => sealText(pack(pair), memberId),
    open: (sealed, memberId) => unpack(openText(sealed, memberId)),
    sealText,
    openText
  }
}

function deriveKey (key: string | Buffer, clientId: string): SealKey {
  const bytes = Buffer.from(hkdfSync('sha256', key, clientId, PURPOSE, KEY_BYTES + KEY_ID_BYTES))
  return { secret: bytes.subarray(0, KEY_BYTES), id: bytes.subarray(KEY_BYTES).toString('base64url') }
}

function boundTo (clientId: string, memberId: string): Buffer {
  return Buffer.from(JSON.stringify([clientId, memberId]))
}

function pack ({ accessToken, refreshToken, expiresAt }: TokenPair): string {
  return JSON.stringify([accessToken, refreshToken, expiresAt])
}

function unpack (text: string): TokenPair {
  const [accessToken, refreshToken, expiresAt] = JSON.parse(text) as [string, string, number]
  return { accessToken, refreshToken, expiresAt }
}

function encrypt (secret: Buffer, text: string, bound: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, secret, iv).setAAD(bound)
  const content = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), content])
}

function decrypt (secret: Buffer, bytes: Buffer, bound: Buffer): string {
  const iv = bytes.subarray(0, IV_BYTES)
  const tag = bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)
  try {
    const decipher = createDecipheriv(CIPHER, secret, iv, { authTagLength: TAG_BYTES }).setAAD(bound).setAuthTag(tag)
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
  } catch {
    throw new FST_B24_SEAL_UNREADABLE('not authentic')
  }
}
