import type { FastifyBaseLogger } from 'fastify'
import type { Suspension } from '../../installs/install.ts'
import type { AccessRecord } from './access-record.ts'
import type { PortalAccess } from './portal-access.ts'
import type { PortalNews } from './portal-news.ts'

/** The pair that an answer is about. */
export type AskedPair = Pick<PortalAccess, 'memberId' | 'owner' | 'generation'>

/** Why the app cannot act on a portal for a while. */
export interface Refusal {
  reason: Suspension['reason']
  /** Who says so; absent: the OAuth server. */
  by?: 'portal'
  /** In the words of who says it. */
  error: string
}

export interface StandingParts {
  record: AccessRecord
  news: PortalNews
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  now: () => number
  /** Breaks everything off. */
  signal: AbortSignal
}

const PATIENCE_MS = 3_000
/** Until a portal that refuses the app, or for which there are no tokens, is tried again, ms. */
const RETRY_MS: Record<Suspension['reason'], number> = { payment_required: 5 * 60_000, uninstalled: 60 * 60_000 }

/**
 * Keeps whether the app may act on portals, as their OAuth servers and they themselves say, and tells when that changes: once,
 * over all processes. Each method rejects with FST_B24_STORE_UNAVAILABLE when it cannot be kept.
 */
export class Standing {
  readonly #parts: StandingParts

  constructor (parts: StandingParts) {
    this.#parts = parts
  }

  /** The app may not act on the portal for a while. */
  async suspend ({ memberId, owner, generation }: AskedPair, { reason, by, error }: Refusal): Promise<void> {
    const { record, news, log, now, signal } = this.#parts
    const suspension = { reason, retryAt: now() + RETRY_MS[reason], ...(by !== undefined && { by }) }
    const { outcome } = await record.write(memberId, { type: 'refused', owner, generation, suspension }, { patienceMs: PATIENCE_MS, signal })
    if (outcome !== 'suspended') return
    log.warn({ memberId, reason, error }, by === 'portal' ? 'a portal refuses the app' : 'the OAuth server refuses to issue tokens for a portal')
    news.suspended(memberId)
  }

  /** The pair of one user is no longer valid. */
  async discard ({ memberId, owner, generation }: AskedPair, error: string): Promise<void> {
    const { record, news, log, signal } = this.#parts
    const { outcome } = await record.write(memberId, { type: 'revoked', owner, generation }, { patienceMs: PATIENCE_MS, signal })
    if (outcome === 'stale') return
    log.warn({ memberId, owner, error }, 'a token pair is no longer valid')
    if (outcome === 'reauth-required') news.reauthRequired(memberId)
  }

  /** The portal took a token: it no longer refuses the app. */
  async resume ({ memberId, owner, generation }: AskedPair): Promise<void> {
    const { record, log, signal } = this.#parts
    const { outcome } = await record.write(memberId, { type: 'answered', owner, generation }, { patienceMs: PATIENCE_MS, signal })
    if (outcome === 'resumed') log.info({ memberId }, 'a portal takes the app again')
  }
}
