import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { FST_B24_CLOSING, FST_B24_HANDLER_FAILED } from '../errors.ts'
import { provesToken } from '../installs/application-token.ts'
import type { InstallStore, StoredInstall } from '../installs/store.ts'
import type { WebhookTokens } from '../installs/webhook-tokens.ts'
import { portalOf, webhookPortal } from '../portal/portal.ts'
import type { Envelope } from '../wire/envelope.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { LifecycleHookList } from './lifecycle-hooks.ts'
import { rejected, type Announcement, type Receipt } from './receipt.ts'
import type { RejectReason } from './reject-reason.ts'

export interface ReceiverParts {
  store: InstallStore
  webhooks: WebhookTokens
  lifecycle: Lifecycle
  dispatcher: Dispatcher
  hooks: LifecycleHookList
}

/** Who posts, and the log of the request. */
type Sender = Pick<FastifyRequest, 'log' | 'ip'>

const NONE: readonly Announcement[] = []

/** Takes an envelope from the wire to the handlers: find the portal, prove the sender, apply what the post says, hand it on. */
export class Receiver {
  readonly #parts: ReceiverParts
  readonly counts = { accepted: 0, stale: 0, rejected: 0, failed: 0 }

  constructor (parts: ReceiverParts) {
    this.#parts = parts
  }

  /**
   * Resolves when every handler of the event has ended, or the post was refused.
   *
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY: nothing was stored
   * @throws FST_B24_CLOSING: the app closed before every handler had run
   * @throws FST_B24_HANDLER_FAILED: its cause is the error of the handler, or an `AggregateError` of several
   */
  async receive (envelope: Envelope, sender: Sender): Promise<Receipt> {
    try {
      const stored = await this.#parts.store.get(envelope.auth.member_id)
      const apply = this.#parts.lifecycle.find(envelope.event.toUpperCase())
      const receipt = apply === undefined ? this.#prove(envelope, stored) : await apply(envelope, stored, sender.ip)
      if (receipt.status === 'accepted') await this.#deliver(envelope, receipt, sender.log)
      if (receipt.status === 'rejected') this.#tellRejected(receipt.reason, envelope, sender.log)
      this.counts[receipt.status]++
      return receipt
    } catch (error) {
      this.counts.failed++
      throw error
    }
  }

  #prove (envelope: Envelope, stored: StoredInstall | undefined): Receipt {
    const { member_id: memberId, application_token: token, domain } = envelope.auth
    if (provesToken(stored?.install, token, Date.now())) return { status: 'accepted', portal: portalOf(stored.install), announcements: NONE }
    if (this.#parts.webhooks.prove(memberId, token)) return { status: 'accepted', portal: webhookPortal(memberId, String(domain ?? '')), announcements: NONE }
    if (stored === undefined) return rejected(this.#parts.webhooks.knows(memberId) ? 'wrong_token' : 'unknown_portal')
    return rejected(stored.install.state === 'uninstalled' ? 'uninstalled' : 'wrong_token')
  }

  async #deliver (envelope: Envelope, receipt: Receipt & { status: 'accepted' }, log: FastifyBaseLogger): Promise<void> {
    const { dispatcher } = this.#parts
    const errors: Error[] = []
    for (const announcement of receipt.announcements) errors.push(...await dispatcher.announce(announcement, log))
    errors.push(...await dispatcher.dispatch(envelope, receipt.portal, log))
    const closing = errors.find(error => error instanceof FST_B24_CLOSING)
    if (closing !== undefined) throw closing
    if (errors.length > 0) throw new FST_B24_HANDLER_FAILED({ cause: errors.length === 1 ? errors[0] : new AggregateError(errors) })
  }

  #tellRejected (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger): void {
    const fact = { reason, memberId: envelope.auth.member_id, event: envelope.event }
    log.info(fact, 'sender not proved')
    this.#parts.hooks.tell('onReject', fact, { log })
  }
}
