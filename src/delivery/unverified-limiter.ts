import { hash } from 'node:crypto'
import { FST_B24_INSTALL_BUSY } from '../errors.ts'
import { hasSlot, type Source } from '../storage/network-share.ts'
import { networksOf } from './client-ip.ts'
import type { RejectReason } from './receive-outcome.ts'

interface Rate { perSecond: number, burst: number }

/**
 * Limits for installs and queries to one OAuth server: of all senders together, then of each network of a sender, widest first, or of a known
 * portal. An install takes one or two queries.
 */
const RATES: readonly Rate[] = [{ perSecond: 50, burst: 500 }, { perSecond: 20, burst: 200 }, { perSecond: 10, burst: 100 }, { perSecond: 10, burst: 100 }]
/** Fraction of the common limit reserved for networks without recent queries. */
const NEWCOMER_SHARE = 0.5
/** Limit for lifecycle events of one sender that get priority. */
const PRIORITY_RATE: Rate = { perSecond: 5 / 60, burst: 5 }
/** Number of buckets before the first sweep. */
const MIN_SWEEP_SIZE = 1_000
/** How long a rejection is cached, ms. */
const REJECTION_TTL_MS = 60_000
const MAX_REJECTIONS = 10_000

/**
 * Returns the source of an event, which determines its share of limits.
 *
 * @param server origin of the OAuth server that must confirm the event
 * @param ip address of the sender. Without Fastify's `trustProxy`, all senders behind a proxy are one
 * @param portal member id, only if the event has the token of that portal: a member id alone can be forged
 */
export function sourceOf (server: string, ip: string, portal?: string): Source {
  if (portal !== undefined) return { path: [`known ${server}`, portal], isKnown: true }
  return { path: [server, ...networksOf(ip)], isKnown: false }
}

/** Limits the work of this process for unverified senders. `PendingInstalls` limits stored events by the same shares. */
export class UnverifiedLimiter {
  readonly #now: () => number
  /** Number of running checks, by each prefix of a source's path. */
  readonly #running = new Map<string, number>()
  /** Time at which each leaky bucket will be empty. */
  readonly #emptyAt = new Map<string, number>()
  readonly #rejections = new Map<string, { reason: RejectReason, until: number }>()
  #sweepAt = MIN_SWEEP_SIZE

  /** @param now monotonic clock, ms */
  constructor (now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * Runs a check if its source has a free slot.
   * @throws FST_B24_INSTALL_BUSY without running `check`
   */
  async run<T> (source: Source, check: () => Promise<T>): Promise<T> {
    const names = namesOf(source)
    const taken = names.map(name => this.#running.get(name) ?? 0)
    if (!hasSlot(source, taken)) throw new FST_B24_INSTALL_BUSY()
    for (const [level, name] of names.entries()) this.#running.set(name, (taken[level] as number) + 1)
    try {
      return await check()
    } finally {
      for (const name of names) {
        const remaining = (this.#running.get(name) as number) - 1
        if (remaining > 0) this.#running.set(name, remaining)
        else this.#running.delete(name)
      }
    }
  }

  /**
   * Counts a received install or a query to an OAuth server. Known portals are counted separately: users of all portals may open the app at
   * the start of the day.
   * @throws FST_B24_INSTALL_BUSY if the source, or all sources together, exceed their limit
   */
  count (kind: 'install' | 'query', source: Source): void {
    const names = namesOf(source).map(name => `${kind} ${name}`)
    const isNewcomer = (this.#emptyAt.get(names[1] as string) ?? 0) <= this.#now()
    // Narrowest first: a rejected query does not count for the networks around it.
    for (let level = names.length - 1; level >= (source.isKnown ? 1 : 0); level--) {
      const { perSecond, burst } = RATES[level] as Rate
      const most = level === 0 && !isNewcomer ? burst * (1 - NEWCOMER_SHARE) : burst
      if (!this.#fill(names[level] as string, { perSecond, burst: most })) throw new FST_B24_INSTALL_BUSY()
    }
  }

  /** Returns whether a lifecycle event gets priority. Limited for each sender, so that a flood of them cannot delay all other events. */
  isPriority (sender: string): boolean {
    return this.#fill(`priority ${sender}`, PRIORITY_RATE)
  }

  /** Caches the rejection of a query for a minute. */
  remember (query: readonly unknown[], reason: RejectReason): void {
    const [oldest] = this.#rejections.keys()
    if (oldest !== undefined && this.#rejections.size >= MAX_REJECTIONS) this.#rejections.delete(oldest)
    this.#rejections.set(digestOf(query), { reason, until: this.#now() + REJECTION_TTL_MS })
  }

  rejectionOf (query: readonly unknown[]): RejectReason | undefined {
    const digest = digestOf(query)
    const rejection = this.#rejections.get(digest)
    if (rejection === undefined || rejection.until > this.#now()) return rejection?.reason
    this.#rejections.delete(digest)
    return undefined
  }

  #fill (name: string, { perSecond, burst }: Rate): boolean {
    const now = this.#now()
    const emptyAt = Math.max(now, this.#emptyAt.get(name) ?? now) + 1000 / perSecond
    if (emptyAt - now > burst * 1000 / perSecond) return false
    this.#emptyAt.set(name, emptyAt)
    if (this.#emptyAt.size > this.#sweepAt) {
      for (const [name, emptyAt] of this.#emptyAt) if (emptyAt <= now) this.#emptyAt.delete(name)
      this.#sweepAt = Math.max(MIN_SWEEP_SIZE, 2 * this.#emptyAt.size)
    }
    return true
  }
}

/** Includes the server in each name, so that limits of different servers are separate. */
function namesOf ({ path }: Source): string[] {
  return path.map((_, level) => path.slice(0, level + 1).join(' '))
}

function digestOf (query: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(query), 'base64')
}
