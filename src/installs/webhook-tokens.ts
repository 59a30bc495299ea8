import { timingSafeEqual } from 'node:crypto'
import { digestToken } from './application-token.ts'
import type { TokenDigest } from './install.ts'

/** Stands in for a portal without webhooks, so that it costs the same work. No token has it: it is no digest. */
const NO_DIGESTS = [Buffer.from('-'.repeat(43))]
const NOTHING_SENT = '_'.repeat(43)

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
  knows (memberId: string): boolean {
    return this.#digests.has(memberId)
  }

  /** Tells whether the token with this digest is one of this portal's webhooks. */
  prove (memberId: string, token: TokenDigest | undefined): boolean {
    const digest = Buffer.from(token ?? NOTHING_SENT)
    const digests = this.#digests.get(memberId) ?? NO_DIGESTS
    return digests.filter(known => timingSafeEqual(known, digest)).length > 0
  }
}
