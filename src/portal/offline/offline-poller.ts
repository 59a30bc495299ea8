import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import limitConcurrency from 'p-limit'
import { FST_B24_CLOSING, FST_B24_PORTAL_UNAVAILABLE } from '../../errors.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { settlesWithin, withTimeout } from '../../async/with-timeout.ts'
import type { DrainReport } from './offline-drain.ts'
import type { Locks } from '../../storage/locks.ts'
import type { OfflineQueue } from './offline-queue.ts'
import { reasonOf } from '../rest/call-error.ts'
import { scanInstalls } from '../../storage/update-install.ts'

export interface OfflinePollerParts {
  queue: Pick<OfflineQueue, 'drain' | 'drainNew'>
  store: Pick<InstallStore, 'scan'>
  locks: Locks
  /** Whether anything is to wait at portals; asked at each round. */
  wants: () => boolean
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  times?: Partial<PollerTimes> | undefined
}

export interface PollerTimes {
  /** Time between two looks at a portal that does not ring, ms; a tenth more or less at random. */
  pollMs: number
  /** Time after a bell until the next look, ms: a portal rings at the first change of a second, and not again in it. */
  debounceMs: number
  /** Time after which a round is tried again that could not be begun, ms. */
  retryMs: number
  /** Longest drain, ms: then other portals have their turn, and what is left comes after them. */
  drainMs: number
}

const TIMES: PollerTimes = { pollMs: 300_000, debounceMs: 3_000, retryMs: 10_000, drainMs: 60_000 }
/** Portals that are drained at once: so many for bells, and so many for rounds. */
const CONCURRENCY = 4

/** Drains the queues of portals: once at the start, when a portal rings, and every few minutes, as a bell may be lost. */
export class OfflinePoller {
  readonly #parts: OfflinePollerParts
  readonly #times: PollerTimes
  readonly #closing = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  readonly #bells = new Map<string, { rangAgain: boolean }>()
  readonly #belled = limitConcurrency(CONCURRENCY)
  readonly #polled = limitConcurrency(CONCURRENCY)
  /** What is logged of a portal already. */
  readonly #problems = new Map<string, string>()

  constructor (parts: OfflinePollerParts) {
    this.#parts = parts
    this.#times = { ...TIMES, ...parts.times }
    // As many listeners as portals that are waited for are no leak, of which Node would warn.
    setMaxListeners(0, this.#closing.signal)
  }

  /** Drains every portal, and then looks at each from time to time. */
  start (): void {
    this.#track(this.#watch())
  }

  /** A portal says that something waits there. Nobody waits for what is done about it. */
  ring (memberId: string): void {
    const bell = this.#bells.get(memberId)
    if (bell !== undefined) {
      bell.rangAgain = true
    } else if (!this.#closing.signal.aborted) {
      this.#bells.set(memberId, { rangAgain: true })
      this.#track(this.#answer(memberId))
    }
  }

  /** Begins nothing more, and gives what is under way some time to get its rows stored and deleted. */
  async close (withinMs = 5_000): Promise<void> {
    this.#closing.abort(new FST_B24_CLOSING())
    await settlesWithin(Promise.allSettled(this.#underWay), withinMs)
  }

  async #watch (): Promise<void> {
    let isFirst = true
    while (!this.#closing.signal.aborted) {
      try {
        await this.#round(isFirst)
        isFirst = false
        await this.#wait(this.#times.pollMs * (0.9 + Math.random() * 0.2))
      } catch (error) {
        if (this.#closing.signal.aborted) return
        this.#parts.log.warn({ err: error }, 'portals cannot be looked at for events that wait there')
        await this.#wait(this.#times.retryMs)
      }
    }
  }

  async #round (isFirst: boolean): Promise<void> {
    const { store, wants } = this.#parts
    if (!wants()) return
    for await (const installs of scanInstalls(store)) {
      if (this.#closing.signal.aborted) return
      await this.#polled.map(installs.filter(({ state }) => state === 'active'), async ({ memberId }) => {
        if (this.#closing.signal.aborted || !await this.#isDue(memberId, isFirst)) return
        const isBusy = await this.#drain(memberId, false)
        // Who has the lock may have died with it.
        if (isBusy && isFirst) this.ring(memberId)
      })
    }
  }

  /** One process looks at a portal, then none does for a while: the lock is left to expire, and marks the portal as just checked. */
  async #isDue (memberId: string, isFirst: boolean): Promise<boolean> {
    const note = await this.#parts.locks.take(`offline-poll:${memberId}`, Math.ceil(this.#times.pollMs * 0.8))
    return note !== undefined || isFirst
  }

  async #answer (memberId: string): Promise<void> {
    const drain = async () => await this.#belled(async () => await this.#drain(memberId, true))
    try {
      await drain()
      while (this.#bells.get(memberId)?.rangAgain === true) {
        this.#bells.set(memberId, { rangAgain: false })
        await this.#wait(this.#times.debounceMs)
        if (this.#closing.signal.aborted) return
        // Another may have looked before what this bell is about was there.
        if (await drain()) this.ring(memberId)
      }
    } finally {
      this.#bells.delete(memberId)
    }
  }

  /** Never rejects. @returns whether another drains the queue */
  async #drain (memberId: string, isBell: boolean): Promise<boolean> {
    const { queue } = this.#parts
    const closing = this.#closing.signal
    return await withTimeout({ timeoutMs: this.#times.drainMs, signal: closing }, async (signal) => {
      try {
        const report = await queue[isBell ? 'drainNew' : 'drain'](memberId, { signal })
        this.#tell(report)
        return report.busy
      } catch (error) {
        if (closing.aborted) return false
        const isOverdue = signal.aborted
        this.#tell({ memberId, reserved: 0, stored: 0, error: reasonOf(isOverdue ? new FST_B24_PORTAL_UNAVAILABLE('its queue has no end') : error) })
        if (isOverdue) this.ring(memberId)
        return false
      }
    })
  }

  /** One problem of a portal is told once, until it is over. */
  #tell ({ memberId, reserved, stored, error }: Pick<DrainReport, 'memberId' | 'reserved' | 'stored' | 'error'>): void {
    const { log } = this.#parts
    if (reserved > 0) log.info({ memberId, reserved, stored }, 'events that waited at a portal were fetched')
    if (error === undefined) this.#problems.delete(memberId)
    else if (this.#problems.get(memberId) !== error.code) {
      this.#problems.set(memberId, error.code)
      log.warn({ memberId, reason: error }, 'events that wait at a portal cannot be fetched')
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
