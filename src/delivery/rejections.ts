import type { FastifyBaseLogger } from 'fastify'
import type { Envelope } from '../wire/envelope.ts'
import type { EventCounts, RejectReason } from './receive-outcome.ts'
import type { LifecycleHookRegistry } from './lifecycle-hooks.ts'

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

/** Minimum time between two reports of a portal, ms. */
const REPORT_PAUSE_MS = 60_000
const MAX_PORTALS = 1_000

interface QuotaRejections {
  count: number
  reportedAt: number
}

/** Counts events rejected because of their portal's share of waiting events. Reports each portal to the log and to `onQuota` once a minute. */
export class QuotaReports {
  readonly #hooks: LifecycleHookRegistry
  readonly #log: FastifyBaseLogger
  readonly #portals = new Map<string, QuotaRejections>()

  constructor (hooks: LifecycleHookRegistry, log: FastifyBaseLogger) {
    this.#hooks = hooks
    this.#log = log
  }

  refused (memberId: string): void {
    const rejections = this.#portals.get(memberId) ?? { count: 0, reportedAt: -Infinity }
    rejections.count++
    // Ordered by the last rejection, so that the portal without one for the longest time is evicted first.
    this.#portals.delete(memberId)
    this.#portals.set(memberId, rejections)
    const [oldest] = this.#portals.keys()
    if (this.#portals.size > MAX_PORTALS) this.#portals.delete(oldest as string)
    const now = performance.now()
    if (now - rejections.reportedAt < REPORT_PAUSE_MS) return
    rejections.reportedAt = now
    const fact = { memberId, refused: rejections.count }
    this.#log.warn(fact, 'portal exceeded its share of waiting events, rejecting its events with 503 until some are handled')
    this.#hooks.notify('onQuota', fact, { log: this.#log })
  }

  /** Returns the rejected events since the start of this process, by portal. */
  list (): Record<string, number> {
    return Object.fromEntries(Array.from(this.#portals, ([memberId, { count }]) => [memberId, count]))
  }
}
