import { timingSafeEqual } from 'node:crypto'
import { digestToken } from './application-token.ts'

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

  /** Tells whether the token is one of this portal's webhooks. */
  prove (memberId: string, token: string | undefined): boolean {
    const digests = this.#digests.get(memberId)
    if (digests === undefined || token === undefined) return false
    const digest = Buffer.from(digestToken(token))
    return digests.filter(known => timingSafeEqual(known, digest)).length > 0
  }
}
