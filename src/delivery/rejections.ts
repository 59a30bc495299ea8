import type { FastifyBaseLogger } from 'fastify'
import type { Envelope } from '../wire/envelope.ts'
import type { EventCounts, RejectReason } from './receipt.ts'
import type { LifecycleHookRegistry } from './handlers/lifecycle-hooks.ts'

/** Options that would have let a genuine install in. */
const ADVICE: Partial<Record<RejectReason, string>> = {
  private_address: 'the portal is in a private network: set allowPrivateNetworks to take it',
  server_not_allowed: 'it names an OAuth server that is not in the option oauthServers'
}

/** Counts the posts that proved nothing, and tells the log and `onReject` why. */
export class Rejections {
  readonly #hooks: LifecycleHookRegistry
  readonly #counts: EventCounts

  constructor (hooks: LifecycleHookRegistry, counts: EventCounts) {
    this.#hooks = hooks
    this.#counts = counts
  }

  /** Of a post that is refused at once: its sender reads the 403. Whoever knows the URL can send such, so it is no warning. */
  reject (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger): void {
    this.#tell(reason, envelope, log, 'info')
  }

  /** Of a post that was answered 200 before it could be judged: nobody but the log learns that it is dropped. */
  drop (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger): void {
    this.#tell(reason, envelope, log, isInstall(envelope) ? 'warn' : 'info')
  }

  #tell (reason: RejectReason, envelope: Envelope, log: FastifyBaseLogger, level: 'warn' | 'info'): void {
    const { event, auth } = envelope
    const fact = { reason, memberId: auth.member_id, event }
    const advice = isInstall(envelope) ? ADVICE[reason] : undefined
    this.#counts.rejected++
    log[level](fact, `${level === 'warn' ? 'install refused' : 'sender not proved'}${advice === undefined ? '' : `: ${advice}`}`)
    this.#hooks.notify('onReject', fact, { log })
  }
}

function isInstall ({ event }: Envelope): boolean {
  return event.toUpperCase() === 'ONAPPINSTALL'
}
