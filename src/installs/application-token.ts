import { hash, timingSafeEqual } from 'node:crypto'
import type { Install, TokenDigest } from './install.ts'

/**
 * How long a token stays valid after a rotation, ms: a day, since events from before it may still arrive, and Bitrix24 never sends them
 * again.
 */
export const TOKEN_GRACE_MS = 24 * 60 * 60 * 1000

/** Placeholders for a missing stored or sent digest, so that unknown portals take the same time. No token has such a digest. */
const NOTHING_STORED = '-'.repeat(43)
const NOTHING_SENT = '_'.repeat(43)

/** SHA-256 of an `application_token`, as base64url. */
export function digestToken (token: string): TokenDigest {
  return hash('sha256', token, 'base64url')
}

/** Returns the digest of a sent token, or `undefined` without one. An empty token never matches, even if its digest was stored. */
export function digestOfSent (token: string | undefined): TokenDigest | undefined {
  return token === undefined || token === '' ? undefined : digestToken(token)
}

/**
 * Returns whether a digest matches the portal's current token, or the previous one during its grace period. Takes the same time if the
 * portal, the token or the previous token is missing.
 *
 * Never true after an uninstall; see `verifyUninstallToken`.
 */
export function verifyToken (install: Install | undefined, token: TokenDigest | undefined, now: number): boolean {
  return matches(install?.state === 'uninstalled' ? undefined : install, token, now)
}

/** Like `verifyToken`, for ONAPPUNINSTALL, which may be repeated after the uninstall. */
export function verifyUninstallToken (install: Install | undefined, token: TokenDigest | undefined, now: number): boolean {
  return matches(install, token, now)
}

/**
 * Replaces the current digest, which stays valid for `TOKEN_GRACE_MS`. A previous one that is still valid is kept, so that two rotations
 * in a row cannot evict the token that the portal uses.
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

/** Removes the tokens from a record, so that no event is verified until an install or a page sets a new one. */
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

/** Placeholder for portals without webhooks, so that they take the same time. No token has such a digest. */
const NO_DIGESTS = [Buffer.from('-'.repeat(43))]

/**
 * Tokens of outgoing webhooks, which portal administrators create manually: Bitrix24 does not send them to apps.
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

  /** Returns whether the portal has a webhook. */
  has (memberId: string): boolean {
    return this.#digests.has(memberId)
  }

  /** Returns whether a digest matches one of the portal's webhook tokens. */
  verify (memberId: string, token: TokenDigest | undefined): boolean {
    const digest = Buffer.from(token ?? NOTHING_SENT)
    const digests = this.#digests.get(memberId) ?? NO_DIGESTS
    return digests.filter(known => timingSafeEqual(known, digest)).length > 0
  }
}
