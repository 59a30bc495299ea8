import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import limitConcurrency from 'p-limit'
import { FST_B24_CLOSING, FST_B24_PORTAL_UNAVAILABLE } from '../../errors.ts'
import { type InstallStore, scanInstalls } from '../../storage/install-store.ts'
import { settlesWithin, withTimeout } from '../../async/with-timeout.ts'
import type { DrainReport } from './offline-drain.ts'
import type { Locks } from '../../storage/storage.ts'
import type { OfflineQueue } from './offline-queue.ts'
import { reasonOf } from '../rest/call-error.ts'

export interface OfflinePollerParts {
  queue: Pick<OfflineQueue, 'drain' | 'drainNew'>
  store: Pick<InstallStore, 'scan'>
  locks: Locks
  /** Returns whether portals should be polled; called before each poll. */
  isEnabled: () => boolean
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  times?: Partial<PollerTimes> | undefined
}

export interface PollerTimes {
  /** Poll interval per portal, in milliseconds, randomized by ±10 %. */
  pollMs: number
  /** Delay of the second drain after a notification, in milliseconds: portals notify once per second, at its first change. */
  debounceMs: number
  /** Delay before a failed poll is retried, in milliseconds. */
  retryMs: number
  /** Maximum duration of one drain, in milliseconds; the rest follows after other portals. */
  drainMs: number
  /** A drain that takes longer continues without a place, in milliseconds: portals that do not answer must not delay others. */
  slowAfterMs: number
}

const DEFAULT_TIMES: PollerTimes = { pollMs: 300_000, debounceMs: 3_000, retryMs: 10_000, drainMs: 60_000, slowAfterMs: 2_000 }
/** Concurrent drains, separately for notifications, polls and slow portals. */
const CONCURRENCY = 4

/** Drains the offline queues of portals: at startup, when a portal notifies, and periodically, because notifications may be lost. */
export class OfflinePoller {
  readonly #parts: OfflinePollerParts
  readonly #times: PollerTimes
  readonly #closing = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  readonly #notifications = new Map<string, { isRepeated: boolean }>()
  readonly #notifiedLimit = limitConcurrency(CONCURRENCY)
  readonly #pollLimit = limitConcurrency(CONCURRENCY)
  readonly #slowLimit = limitConcurrency(CONCURRENCY)
  /** Portals whose last drain was slow. */
  readonly #slow = new Set<string>()
  /** Last logged error code by portal. */
  readonly #problems = new Map<string, string>()

  constructor (parts: OfflinePollerParts) {
    this.#parts = parts
    this.#times = { ...DEFAULT_TIMES, ...parts.times }
    // One listener per waiting portal is not a leak; Node warns at the eleventh.
    setMaxListeners(0, this.#closing.signal)
  }

  /** Drains every portal, then polls periodically. */
  start (): void {
    this.#track(this.#poll())
  }

  /** Handles a notification of a portal in the background. */
  notify (memberId: string): void {
    const notification = this.#notifications.get(memberId)
    if (notification !== undefined) {
      notification.isRepeated = true
    } else if (!this.#closing.signal.aborted) {
      this.#notifications.set(memberId, { isRepeated: true })
      this.#track(this.#handleNotification(memberId))
    }
  }

  /** Stops polling, and waits up to `withinMs` for drains under way to store and delete their rows. */
  async close (withinMs = 5_000): Promise<void> {
    this.#closing.abort(new FST_B24_CLOSING())
    await settlesWithin(Promise.allSettled(this.#underWay), withinMs)
  }

  async #poll (): Promise<void> {
    let isFirst = true
    while (!this.#closing.signal.aborted) {
      try {
        await this.#pollOnce(isFirst)
        isFirst = false
        await this.#wait(this.#times.pollMs * (0.9 + Math.random() * 0.2))
      } catch (error) {
        if (this.#closing.signal.aborted) return
        this.#parts.log.warn({ err: error }, 'offline queue poll failed')
        await this.#wait(this.#times.retryMs)
      }
    }
  }

  async #pollOnce (isFirst: boolean): Promise<void> {
    const { store, isEnabled } = this.#parts
    if (!isEnabled()) return
    for await (const installs of scanInstalls(store)) {
      if (this.#closing.signal.aborted) return
      await this.#pollLimit.map(installs.filter(({ state }) => state === 'active'), async ({ memberId }) => {
        if (this.#closing.signal.aborted || !await this.#isDue(memberId, isFirst)) return
        const drained = this.#slow.has(memberId) ? this.#slowLimit(async () => await this.#drain(memberId, false)) : this.#drain(memberId, false)
        // The lock holder may have crashed.
        this.#track(drained.then(isBusy => { if (isBusy && isFirst) this.notify(memberId) }))
        if (!this.#slow.has(memberId)) await settlesWithin(drained, this.#times.slowAfterMs)
      })
    }
  }

  /** Takes a lock that is left to expire, so that one process polls a portal once per interval. */
  async #isDue (memberId: string, isFirst: boolean): Promise<boolean> {
    const lock = await this.#parts.locks.take(`offline-poll:${memberId}`, Math.ceil(this.#times.pollMs * 0.8))
    return lock !== undefined || isFirst
  }

  async #handleNotification (memberId: string): Promise<void> {
    const drain = async () => await this.#drainNotified(memberId)
    try {
      await drain()
      while (this.#notifications.get(memberId)?.isRepeated === true) {
        this.#notifications.set(memberId, { isRepeated: false })
        await this.#wait(this.#times.debounceMs)
        if (this.#closing.signal.aborted) return
        // The other process may have drained before this event was queued.
        if (await drain()) this.notify(memberId)
      }
    } finally {
      this.#notifications.delete(memberId)
    }
  }

  async #drainNotified (memberId: string): Promise<boolean> {
    if (this.#slow.has(memberId)) return await this.#slowLimit(async () => await this.#drain(memberId, true))
    let drained = Promise.resolve(false)
    await this.#notifiedLimit(async () => {
      drained = this.#drain(memberId, true)
      await settlesWithin(drained, this.#times.slowAfterMs)
    })
    return await drained
  }

  /** Never rejects. @returns whether another process is draining the queue */
  async #drain (memberId: string, isNotified: boolean): Promise<boolean> {
    const beganAt = performance.now()
    const isBusy = await this.#drainOnce(memberId, isNotified)
    if (performance.now() - beganAt > this.#times.slowAfterMs) this.#slow.add(memberId)
    else this.#slow.delete(memberId)
    return isBusy
  }

  async #drainOnce (memberId: string, isNotified: boolean): Promise<boolean> {
    const { queue } = this.#parts
    const closing = this.#closing.signal
    return await withTimeout({ timeoutMs: this.#times.drainMs, signal: closing }, async (signal) => {
      try {
        const report = await queue[isNotified ? 'drainNew' : 'drain'](memberId, { signal })
        this.#logReport(report)
        return report.busy
      } catch (error) {
        if (closing.aborted) return false
        const isTimeout = signal.aborted
        this.#logReport({ memberId, reserved: 0, stored: 0, error: reasonOf(isTimeout ? new FST_B24_PORTAL_UNAVAILABLE('its offline queue was not empty in time') : error) })
        if (isTimeout) this.notify(memberId)
        return false
      }
    })
  }

  /** Logs each error code of a portal once, until a drain succeeds. */
  #logReport ({ memberId, reserved, stored, error }: Pick<DrainReport, 'memberId' | 'reserved' | 'stored' | 'error'>): void {
    const { log } = this.#parts
    if (reserved > 0) log.info({ memberId, reserved, stored }, 'offline events fetched')
    if (error === undefined) this.#problems.delete(memberId)
    else if (this.#problems.get(memberId) !== error.code) {
      this.#problems.set(memberId, error.code)
      log.warn({ memberId, reason: error }, 'failed to fetch offline events')
    }
  }

  async #wait (ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {})
  }

  #track (work: Promise<void>): void {
    const settled = () => { this.#underWay.delete(work) }
    this.#underWay.add(work)
    work.then(settled, settled)
  }
}
