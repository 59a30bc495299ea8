import type { FastifyBaseLogger } from 'fastify'
import { type DrainReport, LockLost, OfflineDrain, type OfflineTimes } from './offline-drain.ts'
import { whileLocked } from '../with-lock.ts'
import type { Locks } from '../../storage/storage.ts'
import type { OfflineEvent } from './offline-event.ts'
import { reasonOf } from '../rest/call-error.ts'
import type { Rest } from '../rest/rest.ts'

export interface OfflineQueueParts {
  rest: Pick<Rest, 'call'>
  locks: Locks
  /** Resolves when the event is durably queued. Events may come twice, under the same id. */
  store: (event: OfflineEvent) => Promise<void>
  log: Pick<FastifyBaseLogger, 'warn' | 'error'>
  /** Default queue to drain. @default the unnamed queue */
  connector?: string | undefined
  times?: Partial<OfflineTimes> | undefined
}

export interface DrainOptions {
  /** Name of the queue. @default the option `subscriptions.authConnector` */
  connector?: string | undefined
  /** Aborts the drain, which rejects with the signal's reason. Rows reserved by then come with the next drain. */
  signal?: AbortSignal | undefined
}

const DEFAULT_TIMES: OfflineTimes = { lockMs: 30_000, storeRetryMs: 60_000 }

/**
 * Drains the offline queues of portals. The plugin must be their only consumer: it takes over rows that others reserved.
 */
export class OfflineQueue {
  readonly #parts: OfflineQueueParts
  readonly #times: OfflineTimes
  /** Queues without rows left reserved by crashed processes. */
  readonly #recovered = new Set<string>()
  readonly #warned = new Set<string>()
  readonly #logged = new Set<string>()

  constructor (parts: OfflineQueueParts) {
    this.#parts = parts
    this.#times = { ...DEFAULT_TIMES, ...parts.times }
  }

  /** Fetches all events of a queue. Rejects only on abort; other errors are in the report. */
  async drain (memberId: string, options: DrainOptions = {}): Promise<DrainReport> {
    return await this.#drain(memberId, options, false)
  }

  /** Same with fewer calls, after a notification: skips recovery if done before. */
  async drainNew (memberId: string, options: DrainOptions = {}): Promise<DrainReport> {
    return await this.#drain(memberId, options, true)
  }

  async #drain (memberId: string, { connector = this.#parts.connector ?? '', signal }: DrainOptions, isNewOnly: boolean): Promise<DrainReport> {
    signal?.throwIfAborted()
    const name = `${memberId}:${connector}`
    const report: DrainReport = { memberId, connector, busy: false, reserved: 0, skipped: 0, stored: 0, cleared: 0, atRisk: false }
    try {
      const lock = await this.#parts.locks.take(`offline:${name}`, this.#times.lockMs)
      if (lock === undefined) return { ...report, busy: true }
      const task = { memberId, connector, lock, report, isNewOnly: isNewOnly && this.#recovered.has(name), signal }
      this.#recovered.delete(name)
      await whileLocked(lock, this.#times.lockMs, async () => await new OfflineDrain({ ...this.#parts, times: this.#times, logged: this.#logged }, task).run())
      this.#recovered.add(name)
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
    this.#parts.log.warn({ memberId }, 'plan of the portal lacks rest_offline_extended: offline events are deleted on read, so a few may be lost on failures')
  }
}
