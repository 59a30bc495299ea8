import { hash, timingSafeEqual } from 'node:crypto'
import type { Install, TokenDigest } from './install.ts'

/**
 * Time that a token stays good after a newer one, ms: a day, because events that the portal made before the change may
 * still be on their way, and Bitrix24 never sends them twice.
 */
export const TOKEN_GRACE_MS = 24 * 60 * 60 * 1000

/** Stand in where nothing is stored or sent, so that an unknown portal costs the same work. No token has them: they are no digests. */
const NOTHING_STORED = '-'.repeat(43)
const NOTHING_SENT = '_'.repeat(43)

/** SHA-256 of an `application_token`, as base64url. */
export function digestToken (token: string): TokenDigest {
  return hash('sha256', token, 'base64url')
}

/** Digest of the token that a post brings; `undefined` where it brings none. An empty one is none, even where a digest of it got stored. */
export function digestOfSent (token: string | undefined): TokenDigest | undefined {
  return token === undefined || token === '' ? undefined : digestToken(token)
}

/**
 * Tells whether the token with this digest is the portal's, now or until its rotation has lapsed. The work is the same
 * whatever is missing: the portal, the token, the previous token.
 *
 * A portal that has uninstalled proves nothing; see `provesUninstall`.
 */
export function verifyToken (install: Install | undefined, token: TokenDigest | undefined, now: number): boolean {
  return matches(install?.state === 'uninstalled' ? undefined : install, token, now)
}

/** Tells the same of an ONAPPUNINSTALL, which may come again after the portal has uninstalled. */
export function verifyUninstallToken (install: Install | undefined, token: TokenDigest | undefined, now: number): boolean {
  return matches(install, token, now)
}

/**
 * Puts a new digest in place of the current one, which stays good for `TOKEN_GRACE_MS`. A previous one that is still good
 * stays in its place, so that two changes in a row cannot push out the token that the portal uses.
 */
export function rotateToken (install: Install, digest: TokenDigest, now: number): Install {
  const { token, previousToken } = install
  if (digest === token) return install
  if (token === NOTHING_STORED) return { ...install, token: digest }
  if (previousToken !== undefined && now < previousToken.expiresAt) {
    return digest === previousToken.digest ? { ...install, token: digest, previousToken: { ...previousToken, digest: token } } : { ...install, token: digest }
  }
  return { ...install, token: digest, previousToken: { digest: token, expiresAt: now + TOKEN_GRACE_MS } }
}

/** The record without any token that proves something, until an install or a page brings one. */
export function revokeToken ({ previousToken, ...install }: Install): Install {
  return { ...install, token: NOTHING_STORED }
}

function matches (install: Install | undefined, token: TokenDigest | undefined, now: number): boolean {
  const given = Buffer.from(token ?? NOTHING_SENT)
  const previous = install?.previousToken
  const current = timingSafeEqual(given, Buffer.from(install?.token ?? NOTHING_STORED))
  const before = timingSafeEqual(given, Buffer.from(previous?.digest ?? NOTHING_STORED))
  const fresh = previous !== undefined && now < previous.expiresAt
  return current || (before && fresh)
}

/** Stands in for a portal without webhooks, so that it costs the same work. No token has it: it is no digest. */
const NO_DIGESTS = [Buffer.from('-'.repeat(43))]

/**
 * Tokens of outgoing webhooks, which a portal's owner made by hand: Bitrix24 never tells them to an app.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/local-integrations/local-webhooks.md
 */
export class WebhookTokens {
  readonly #digests = new Map<string, Buffer[]>()

  constructor (webhooks: ReadonlyArray<{ memberId: string, applicationToken: string }>) {
    for (const { memberId, applicationToken } of webhooks) {
      this.#digests.set(memberId, [...this.#digests.get(memberId) ?? [], Buffer.from(digestToken(applicationToken))])
    }
  }

  /** Tells whether the portal has a webhook. */
  has (memberId: string): boolean {
    return this.#digests.has(memberId)
  }

  /** Tells whether the token with this digest is one of this portal's webhooks. */
  verify (memberId: string, token: TokenDigest | undefined): boolean {
    const digest = Buffer.from(token ?? NOTHING_SENT)
    const digests = this.#digests.get(memberId) ?? NO_DIGESTS
    return digests.filter(known => timingSafeEqual(known, digest)).length > 0
  }
}
