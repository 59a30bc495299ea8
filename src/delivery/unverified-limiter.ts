import { hash } from 'node:crypto'
import { FST_B24_INSTALL_BUSY } from '../errors.ts'
import { hasPlace, type Source } from '../storage/source-share.ts'
import { networksOf } from './client-ip.ts'
import type { RejectReason } from './receipt.ts'

interface Rate { perSecond: number, burst: number }

/** Installs that name one OAuth server, and questions to it, that all senders may cause, then each of their networks, the widest first, or a known portal. An install asks once or twice. */
const RATES: readonly Rate[] = [{ perSecond: 50, burst: 500 }, { perSecond: 20, burst: 200 }, { perSecond: 10, burst: 100 }, { perSecond: 10, burst: 100 }]
/** Part of the questions of all that is kept for networks which asked nothing lately. */
const NEWCOMER_SHARE = 0.5
/** Lifecycle events of one sender that go before all others. */
const PRIORITY_RATE: Rate = { perSecond: 5 / 60, burst: 5 }
/** Buckets that are kept before the first sweep. */
const FEW = 1_000
/** How long a refusal is remembered, ms. */
const REFUSED_MS = 60_000
const MAX_REFUSALS = 10_000

/**
 * Names the places that a sender shares with others.
 *
 * @param server origin of the OAuth server that is to be asked
 * @param ip address of the sender. A proxy in front is one sender for all behind it, unless Fastify's `trustProxy` names it
 * @param portal member id, only where the token of that portal came with it: a member id is easy to claim
 */
export function sourceOf (server: string, ip: string, portal?: string): Source {
  if (portal !== undefined) return { path: [`known ${server}`, portal], isKnown: true }
  return { path: [server, ...networksOf(ip)], isKnown: false }
}

/** Bounds what senders can cause in this process before anything verifies them. What waits in the storage, `PendingInstalls` bounds by the same shares. */
export class UnverifiedLimiter {
  readonly #now: () => number
  /** Checks that run, by the start of a path up to each of its parts. */
  readonly #running = new Map<string, number>()
  /** When each bucket is empty; one that leaks slowly is full early. */
  readonly #emptyAt = new Map<string, number>()
  readonly #refusals = new Map<string, { reason: RejectReason, until: number }>()
  #sweepAt = FEW

  /** `now` is a clock that never goes back, in ms. */
  constructor (now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * Runs a check if its source has a place left.
   * @throws FST_B24_INSTALL_BUSY; `check` is never run then
   */
  async run<T> (source: Source, check: () => Promise<T>): Promise<T> {
    const names = namesOf(source)
    const taken = names.map(name => this.#running.get(name) ?? 0)
    if (!hasPlace(source, taken)) throw new FST_B24_INSTALL_BUSY()
    for (const [level, name] of names.entries()) this.#running.set(name, (taken[level] as number) + 1)
    try {
      return await check()
    } finally {
      for (const name of names) {
        const rest = (this.#running.get(name) as number) - 1
        if (rest > 0) this.#running.set(name, rest)
        else this.#running.delete(name)
      }
    }
  }

  /**
   * Counts an install that comes in, or a question to an OAuth server. Portals that are known count each for itself: their users may all open the app
   * at nine o'clock.
   * @throws FST_B24_INSTALL_BUSY when its source, or all together, have too many
   */
  count (what: 'install' | 'question', source: Source): void {
    const names = namesOf(source).map(name => `${what} ${name}`)
    const isNewcomer = (this.#emptyAt.get(names[1] as string) ?? 0) <= this.#now()
    // From the narrowest: what a network may not ask does not count for those around it.
    for (let level = names.length - 1; level >= (source.isKnown ? 1 : 0); level--) {
      const { perSecond, burst } = RATES[level] as Rate
      const most = level === 0 && !isNewcomer ? burst * (1 - NEWCOMER_SHARE) : burst
      if (!this.#fill(names[level] as string, { perSecond, burst: most })) throw new FST_B24_INSTALL_BUSY()
    }
  }

  /** Returns whether a lifecycle event goes before all others: they are rare, and thousands of one sender must not keep all others waiting. */
  isPriority (sender: string): boolean {
    return this.#fill(`priority ${sender}`, PRIORITY_RATE)
  }

  /** Remembers for a minute what the OAuth server answered to a question. */
  remember (question: readonly unknown[], reason: RejectReason): void {
    const [oldest] = this.#refusals.keys()
    if (oldest !== undefined && this.#refusals.size >= MAX_REFUSALS) this.#refusals.delete(oldest)
    this.#refusals.set(digestOf(question), { reason, until: this.#now() + REFUSED_MS })
  }

  refusalOf (question: readonly unknown[]): RejectReason | undefined {
    const digest = digestOf(question)
    const refusal = this.#refusals.get(digest)
    if (refusal === undefined || refusal.until > this.#now()) return refusal?.reason
    this.#refusals.delete(digest)
    return undefined
  }

  #fill (name: string, { perSecond, burst }: Rate): boolean {
    const now = this.#now()
    const emptyAt = Math.max(now, this.#emptyAt.get(name) ?? now) + 1000 / perSecond
    if (emptyAt - now > burst * 1000 / perSecond) return false
    this.#emptyAt.set(name, emptyAt)
    if (this.#emptyAt.size > this.#sweepAt) {
      for (const [name, emptyAt] of this.#emptyAt) if (emptyAt <= now) this.#emptyAt.delete(name)
      this.#sweepAt = Math.max(FEW, 2 * this.#emptyAt.size)
    }
    return true
  }
}

/** Networks of different servers are different names. */
function namesOf ({ path }: Source): string[] {
  return path.map((_, level) => path.slice(0, level + 1).join(' '))
}

function digestOf (question: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(question), 'base64')
}
