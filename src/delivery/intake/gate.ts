import type { StoredInstall } from '../../storage/install-store.ts'
import type { WebhookTokens } from '../../installs/application-token.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import { isProven, wasKnown } from '../lifecycle/lifecycle-proof.ts'
import type { Post } from '../post.ts'
import { rejected, type Rejection } from '../receipt.ts'

/** Lets in what a portal sent: tells by the token, and by nothing else. */
export class Gate {
  readonly #webhooks: WebhookTokens
  readonly #portals: Portals

  constructor (webhooks: WebhookTokens, portals: Portals) {
    this.#webhooks = webhooks
    this.#portals = portals
  }

  prove (post: Post, stored: StoredInstall | undefined): { status: 'proved', portal: Portal } | Rejection {
    const { envelope, token } = post
    const { member_id: memberId, domain } = envelope.auth
    if (isProven(post, stored)) return { status: 'proved', portal: this.#portals.of(stored!.install) }
    if (this.#webhooks.verify(memberId, token)) return { status: 'proved', portal: this.#portals.ofWebhook(memberId, String(domain ?? '')) }
    if (stored !== undefined && envelope.event.toUpperCase() === 'ONAPPUNINSTALL' && wasKnown(post, stored)) return { status: 'proved', portal: this.#portals.of(stored.install) }
    if (stored === undefined) return rejected(this.#webhooks.has(memberId) ? 'wrong_token' : 'unknown_portal')
    return rejected(stored.install.state === 'uninstalled' ? 'uninstalled' : 'wrong_token')
  }

  /** The portal of an event that was let in before; `undefined` where nothing is known of it any more. */
  portalOf ({ envelope }: Post, stored: StoredInstall | undefined): Portal | undefined {
    const { member_id: memberId, domain } = envelope.auth
    if (stored !== undefined) return this.#portals.of(stored.install)
    return this.#webhooks.has(memberId) ? this.#portals.ofWebhook(memberId, String(domain ?? '')) : undefined
  }
}
