import { verifyToken, verifyUninstallToken, type WebhookTokens } from '../installs/application-token.ts'
import type { Portal, Portals } from '../portal/portal.ts'
import type { StoredInstall } from '../storage/install-store.ts'
import type { InboundEvent } from './inbound-event.ts'
import { rejected, type Rejection } from './receive-outcome.ts'

/** Verifies events by their `application_token`. */
export class Verifier {
  readonly #webhooks: WebhookTokens
  readonly #portals: Portals

  constructor (webhooks: WebhookTokens, portals: Portals) {
    this.#webhooks = webhooks
    this.#portals = portals
  }

  verify (inbound: InboundEvent, stored: StoredInstall | undefined): { status: 'verified', portal: Portal } | Rejection {
    const { envelope, token } = inbound
    const { member_id: memberId, domain } = envelope.auth
    if (hasCurrentToken(inbound, stored)) return { status: 'verified', portal: this.#portals.of(stored!.install) }
    if (this.#webhooks.verify(memberId, token)) return { status: 'verified', portal: this.#portals.ofWebhook(memberId, String(domain ?? '')) }
    if (stored !== undefined && envelope.event.toUpperCase() === 'ONAPPUNINSTALL' && hasKnownToken(inbound, stored)) return { status: 'verified', portal: this.#portals.of(stored.install) }
    if (stored === undefined) return rejected(this.#webhooks.has(memberId) ? 'wrong_token' : 'unknown_portal')
    return rejected(stored.install.state === 'uninstalled' ? 'uninstalled' : 'wrong_token')
  }

  /** Returns the portal of an event verified earlier; `undefined` if the portal is no longer known. */
  portalOf ({ envelope }: InboundEvent, stored: StoredInstall | undefined): Portal | undefined {
    const { member_id: memberId, domain } = envelope.auth
    if (stored !== undefined) return this.#portals.of(stored.install)
    return this.#webhooks.has(memberId) ? this.#portals.ofWebhook(memberId, String(domain ?? '')) : undefined
  }
}

/** Returns whether the event has the token of an installed portal. */
export function hasCurrentToken ({ token }: InboundEvent, stored: StoredInstall | undefined): boolean {
  return verifyToken(stored?.install, token, Date.now())
}

/** Returns whether the event has the token of a portal, installed or uninstalled. Such senders do not share limits with unknown ones. */
export function hasKnownToken ({ token }: InboundEvent, stored: StoredInstall | undefined): boolean {
  return verifyUninstallToken(stored?.install, token, Date.now())
}
