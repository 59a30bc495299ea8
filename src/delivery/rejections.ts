import type { FastifyBaseLogger } from 'fastify'
import type { Envelope } from '../wire/envelope.ts'
import type { EventCounts, RejectReason } from './receipt.ts'
import type { LifecycleHookRegistry } from './handlers/lifecycle-hooks.ts'

/** Hints at options that would accept a genuine install. */
const ADVICE: Partial<Record<RejectReason, string>> = {
  private_address: 'the portal is in a private network, set allowPrivateNetworks to accept it',
  server_not_allowed: 'its OAuth server is not in the option oauthServers'
}

/** Counts and logs unverified requests, and calls `onReject`. */
export class Rejections {
  readonly #hooks: LifecycleHookRegistry
  readonly #counts: EventCounts

  constructor (hooks: LifecycleHookRegistry, counts: EventCounts) {
    this.#hooks = hooks
    this.#counts = counts
  }

  /** Reports a request that is answered with 403. Logged as info: anyone who knows the URL can send one. */
  reject (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger): void {
    this.#report(reason, envelope, log, 'info')
  }

  /** Reports an event that was answered with 200 before its verification and is now dropped. */
  drop (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger): void {
    this.#report(reason, envelope, log, isInstall(envelope) ? 'warn' : 'info')
  }

  #report (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger, level: 'warn' | 'info'): void {
    const { event, auth } = envelope
    const fact = { reason, memberId: auth.member_id, event }
    const advice = isInstall(envelope) ? ADVICE[reason] : undefined
    this.#counts.rejected++
    log[level](fact, `${level === 'warn' ? 'install rejected' : 'unverified request rejected'}${advice === undefined ? '' : `: ${advice}`}`)
    this.#hooks.notify('onReject', fact, { log })
  }
}

function isInstall ({ event }: Envelope): boolean {
  return event.toUpperCase() === 'ONAPPINSTALL'
}
