import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import { type AccessFact, type AccessTransition, applyAccessFact } from '../../installs/access-transitions.ts'
import type { Suspension } from '../../installs/install.ts'
import type { PortalAccess } from './portal-access.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'

/** Takes what became of a portal while the app acted on it. Nobody waits for it, and it fails nobody: each method returns at once. */
export interface PortalListener {
  /** No token of the portal is good any more; told once. */
  reauthRequired (memberId: string): void
  renamed (memberId: string, from: string, to: string): void
  /** The portal must pay, or is gone, as the OAuth server or the portal says; told once, until it is back. */
  suspended (memberId: string): void
}

export interface WriteLimits {
  /** How long to try while the store is away or others write, ms. */
  patienceMs: number
  /** Gives up when it aborts. */
  signal: AbortSignal
}

const LONGEST_PAUSE_MS = 1000

/** Writes what OAuth servers answer into the records of portals. */
export class AccessRecord {
  readonly #store: InstallStore
  readonly #now: () => number

  constructor (store: InstallStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /**
   * Applies a fact to the record of a portal, durably before it resolves.
   *
   * @throws FST_B24_STORE_UNAVAILABLE when it could not be written in time
   */
  async write (memberId: string, fact: AccessFact, { patienceMs, signal }: WriteLimits): Promise<AccessTransition> {
    const end = performance.now() + patienceMs
    let unsure: AccessTransition | undefined
    for (let pause = 25; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      let problem: unknown = new Error('others write all the time')
      try {
        const stored = await this.#store.get(memberId)
        // A swap that failed may have been written all the same, and would look old by now.
        if (unsure !== undefined && isDeepStrictEqual(stored?.install, unsure.install)) return unsure
        const next = applyAccessFact(stored?.install, fact, this.#now())
        if (stored === undefined || next.install === undefined || next.install === stored.install) return next
        unsure = next
        if (await this.#store.swap(memberId, stored.version, next.install)) return next
        unsure = undefined
        pause = 1
      } catch (error) {
        problem = error
      }
      if (signal.aborted || performance.now() >= end) throw storeUnavailable(problem)
      await sleep(pause * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
    }
  }
}

/** The pair that an answer is about. */
export type PairRef = Pick<PortalAccess, 'memberId' | 'owner' | 'generation'>

/** Why the app cannot act on a portal for a while. */
export interface Refusal {
  reason: Suspension['reason']
  /** Who says so; absent: the OAuth server. */
  by?: 'portal'
  /** In the words of who says it. */
  error: string
}

export interface AccessStateParts {
  record: AccessRecord
  listener: PortalListener
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
export class AccessState {
  readonly #parts: AccessStateParts

  constructor (parts: AccessStateParts) {
    this.#parts = parts
  }

  /** The app may not act on the portal for a while. */
  async suspend ({ memberId, owner, generation }: PairRef, { reason, by, error }: Refusal): Promise<void> {
    const { record, listener, log, now, signal } = this.#parts
    const suspension = { reason, retryAt: now() + RETRY_MS[reason], ...(by !== undefined && { by }) }
    const { outcome } = await record.write(memberId, { type: 'refused', owner, generation, suspension }, { patienceMs: PATIENCE_MS, signal })
    if (outcome !== 'suspended') return
    log.warn({ memberId, reason, error }, by === 'portal' ? 'a portal refuses the app' : 'the OAuth server refuses to issue tokens for a portal')
    listener.suspended(memberId)
  }

  /** The pair of one user is no longer valid. */
  async discard ({ memberId, owner, generation }: PairRef, error: string): Promise<void> {
    const { record, listener, log, signal } = this.#parts
    const { outcome } = await record.write(memberId, { type: 'revoked', owner, generation }, { patienceMs: PATIENCE_MS, signal })
    if (outcome === 'stale') return
    log.warn({ memberId, owner, error }, 'a token pair is no longer valid')
    if (outcome === 'reauth-required') listener.reauthRequired(memberId)
  }

  /** The portal took a token: it no longer refuses the app. */
  async resume ({ memberId, owner, generation }: PairRef): Promise<void> {
    const { record, log, signal } = this.#parts
    const { outcome } = await record.write(memberId, { type: 'answered', owner, generation }, { patienceMs: PATIENCE_MS, signal })
    if (outcome === 'resumed') log.info({ memberId }, 'a portal takes the app again')
  }
}
