import type { FastifyBaseLogger } from 'fastify'
import type { Envelope } from '../wire/envelope.ts'
import type { EventCounts } from './event-counts.ts'
import type { LifecycleHookList } from './lifecycle-hooks.ts'
import type { RejectReason } from './reject-reason.ts'

/** Counts the posts that proved nothing, and tells the log and `onReject` why. */
export class Rejections {
  readonly #hooks: LifecycleHookList
  readonly #counts: EventCounts

  constructor (hooks: LifecycleHookList, counts: EventCounts) {
    this.#hooks = hooks
    this.#counts = counts
  }

  tell (reason: RejectReason, { event, auth }: Envelope, log: FastifyBaseLogger): void {
    const fact = { reason, memberId: auth.member_id, event }
    this.#counts.rejected++
    log.info(fact, 'sender not proved')
    this.#hooks.tell('onReject', fact, { log })
  }
}
