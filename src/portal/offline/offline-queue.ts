import type { FastifyBaseLogger } from 'fastify'
import { type DrainReport, LockLost, OfflineDrain, type OfflineTimes } from './offline-drain.ts'
import { holdLock } from '../with-lock.ts'
import type { Locks } from '../../storage/locks.ts'
import type { OfflineEvent } from './offline-event.ts'
import { reasonOf } from '../rest/call-error.ts'
import type { Rest } from '../rest/rest.ts'

export interface OfflineQueueParts {
  rest: Pick<Rest, 'call'>
  locks: Locks
  /** Resolves when the event is durably queued. Events may come twice, under the same id. */
  store: (event: OfflineEvent) => Promise<void>
  log: Pick<FastifyBaseLogger, 'warn' | 'error'>
  /** Queue to drain where none is named. @default the one without a name */
  connector?: string | undefined
  times?: Partial<OfflineTimes> | undefined
}

export interface DrainOptions {
  /** Name of the queue. @default that of the option `subscriptions.authConnector` */
  connector?: string | undefined
  /** Breaks the drain off; it then rejects with the reason of the signal. What is reserved by then comes with the next drain. */
  signal?: AbortSignal | undefined
}

const TIMES: OfflineTimes = { lockMs: 30_000, patienceMs: 60_000 }

/**
 * The queues in which portals keep events until they are fetched. Belongs to the plugin alone: what others reserve in a queue of this
 * app is taken over.
 */
export class OfflineQueue {
  readonly #parts: OfflineQueueParts
  readonly #times: OfflineTimes
  /** Queues that this process has drained to the end, as far as it knows. */
  readonly #known = new Set<string>()
  readonly #warned = new Set<string>()
  /** Rows that are told already. */
  readonly #told = new Set<string>()

  constructor (parts: OfflineQueueParts) {
    this.#parts = parts
    this.#times = { ...TIMES, ...parts.times }
  }

  /** Fetches all that waits on a portal. Says in the report what went wrong. */
  async drain (memberId: string, options: DrainOptions = {}): Promise<DrainReport> {
    return await this.#drain(memberId, options, false)
  }

  /** The same with fewer calls, where a bell says that something waits. */
  async drainNew (memberId: string, options: DrainOptions = {}): Promise<DrainReport> {
    return await this.#drain(memberId, options, true)
  }

  async #drain (memberId: string, { connector = this.#parts.connector ?? '', signal }: DrainOptions, isQuick: boolean): Promise<DrainReport> {
    signal?.throwIfAborted()
    const name = `${memberId}:${connector}`
    const report: DrainReport = { memberId, connector, busy: false, reserved: 0, skipped: 0, stored: 0, cleared: 0, atRisk: false }
    try {
      const lock = await this.#parts.locks.take(`offline:${name}`, this.#times.lockMs)
      if (lock === undefined) return { ...report, busy: true }
      const order = { memberId, connector, lock, report, isQuick: isQuick && this.#known.has(name), signal }
      this.#known.delete(name)
      await holdLock(lock, this.#times.lockMs, async () => await new OfflineDrain({ ...this.#parts, times: this.#times, told: this.#told }, order).run())
      this.#known.add(name)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof LockLost) report.busy = true
      else report.error = reasonOf(error)
    }
    if (report.atRisk) this.#warn(memberId)
    return report
  }

  #warn (memberId: string): void {
    if (this.#warned.has(memberId)) return
    this.#warned.add(memberId)
    this.#parts.log.warn({ memberId }, 'the plan of this portal has no rest_offline_extended: events that wait there are deleted before they are stored, and a few may be lost')
  }
}
