import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { pause } from '../../async/abort.ts'
import { FST_B24_PORTAL_UNAVAILABLE } from '../../errors.ts'
import { type OfflineEvent, type OfflineRow, readRows } from './offline-event.ts'
import type { CallOptions } from '../rest/call-options.ts'
import type { Reason } from '../rest/call-error.ts'
import type { Rest } from '../rest/rest.ts'
import type { Lock } from '../../storage/locks.ts'
import { scalarText } from '../../validation.ts'
import { redact } from '../../wire/redact.ts'

export interface DrainReport {
  memberId: string
  connector: string
  /** Another process is draining this queue. */
  busy: boolean
  /** Rows returned by the portal. */
  reserved: number
  /** Rows that are not events: logged, and deleted at the portal. */
  skipped: number
  /** Events queued here. */
  stored: number
  /** Rows deleted at the portal. */
  cleared: number
  /** The plan has no `rest_offline_extended`: rows are deleted on read. A lost response or a crash before storing loses up to ten events. */
  atRisk: boolean
  /** Why the drain stopped early. Events not stored are still at the portal, unless `atRisk`. */
  error?: Reason
}

export interface OfflineDrainParts {
  rest: Pick<Rest, 'call'>
  store: (event: OfflineEvent) => Promise<void>
  log: Pick<FastifyBaseLogger, 'warn' | 'error'>
  times: OfflineTimes
  /** Rows that were told to be no events, by this process. */
  told?: Set<string> | undefined
}

export interface OfflineTimes {
  /** How long a drainer that was killed keeps others away, ms. */
  lockMs: number
  /** How long an event that the portal has deleted already is tried to be stored, ms. */
  patienceMs: number
}

export interface DrainTask {
  memberId: string
  /** `''` for the queue without a name. */
  connector: string
  lock: Lock
  report: DrainReport
  /** Looks only at what waits, not at what others left. */
  isQuick: boolean
  signal: AbortSignal | undefined
}

/** Another drainer may be at work by now. */
export class LockLost extends Error {}

/** Rows of one call. Bitrix24's own default is fifty: so many may well be all that it gives. */
const MAX_ROWS = 200
const PAGE_SIZE = 50
/** Rows that one lost answer may cost, where the portal deletes what it brings. */
const ROWS_AT_RISK = 10
/** Longest time to wait for a portal that takes no more calls, ms, and how often. */
const MAX_WAIT_MS = 15_000
const MAX_WAITS = 20
/** Rows of which is noted that they were told. */
const MAX_LOGGED_ROWS = 1_000

type Method = 'event.offline.get' | 'event.offline.list' | 'event.offline.clear'

/**
 * Fetches what waits in one queue of a portal: reserves rows, stores them, and only then deletes them there. Bitrix24 has no part in
 * it that is safe by itself: `event.offline.clear` without ids deletes a whole batch, and with an empty process id all that waits;
 * `event.offline.get` deletes what it brings unless told not to.
 */
export class OfflineDrain {
  readonly #parts: OfflineDrainParts
  readonly #order: DrainTask
  /** Rows of the last page. */
  #lastPage = new Set<string>()

  constructor (parts: OfflineDrainParts, order: DrainTask) {
    this.#parts = parts
    this.#order = order
  }

  /** @throws LockLost */
  async run (): Promise<void> {
    const left = this.#order.isQuick ? { isEmpty: false, hasErrors: false } : await this.#takeOver()
    if (left.isEmpty) return
    await this.#empty({})
    // What was put aside swallows the next change of the same item: nobody would ever see it.
    if (left.hasErrors) await this.#empty({ error: 1 })
  }

  /**
   * Takes over what a drainer reserved that died, or never got the answer: such rows come with no other call. Nobody else reserves
   * rows while this one has the lock, so that nobody has to write down what was reserved, which could not be done in time.
   */
  async #takeOver (): Promise<{ isEmpty: boolean, hasErrors: boolean }> {
    const seen = new Set<string>()
    for (;;) {
      // The reserved ones first, then those that were put aside.
      const rows = readRows(this.#order.memberId, await this.#call('event.offline.list', { order: { PROCESS_ID: 'DESC', ERROR: 'DESC' } }))
      const reserved = rows.filter(({ processId, rowId }) => processId !== '' && !seen.has(rowId))
      if (reserved.length === 0) return { isEmpty: rows.length === 0, hasErrors: rows.some(({ isError, processId }) => isError && processId === '') }
      for (const processId of new Set(reserved.map(row => row.processId))) {
        await this.#keep(processId, reserved.filter(row => row.processId === processId))
      }
      for (const { rowId } of reserved) seen.add(rowId)
    }
  }

  async #empty (kind: { error?: 1 }): Promise<void> {
    const { report } = this.#order
    for (;;) {
      const rows = report.atRisk ? await this.#takeAtRisk(kind) : await this.#take(kind)
      if (rows < (report.atRisk ? ROWS_AT_RISK : PAGE_SIZE)) return
    }
  }

  async #take (kind: { error?: 1 }): Promise<number> {
    const { report } = this.#order
    try {
      const { process_id: processId, events } = await this.#get({ clear: 0, limit: MAX_ROWS, ...kind })
      this.#checkNew(events)
      await this.#keep(scalarText(processId), events)
      return events.length
    } catch (error) {
      if ((error as { portalCode?: string }).portalCode?.toUpperCase() !== 'WRONG_LICENSE') throw error
      report.atRisk = true
      return await this.#takeAtRisk(kind)
    }
  }

  /** The portal's plan knows no reserving: what comes is deleted there already. Nothing breaks this call off. */
  async #takeAtRisk (kind: { error?: 1 }): Promise<number> {
    const { report, signal } = this.#order
    signal?.throwIfAborted()
    const { events } = await this.#get({ clear: 1, limit: ROWS_AT_RISK, ...kind }, {})
    report.reserved += events.length
    report.cleared += events.length
    this.#tellOdd(events)
    const results = await Promise.allSettled(eventsOf(events).map(async event => await this.#storeSurely(event)))
    throwFirst(results)
    return events.length
  }

  async #get (params: object, options?: CallOptions): Promise<{ process_id?: unknown, events: OfflineRow[] }> {
    const result = await this.#call('event.offline.get', params, options) as { process_id?: unknown, events?: unknown } | undefined
    return { process_id: result?.process_id, events: readRows(this.#order.memberId, result?.events) }
  }

  /** Stores rows, and deletes at the portal those that are stored. */
  async #keep (processId: string, rows: readonly OfflineRow[]): Promise<void> {
    if (rows.length === 0) return
    if (processId === '') throw new FST_B24_PORTAL_UNAVAILABLE('it reserved events and does not say as what')
    const { report } = this.#order
    report.reserved += rows.length
    this.#tellOdd(rows)
    const results = await Promise.allSettled(rows.map(async ({ event }) => event !== undefined && await this.#parts.store(event)))
    const done = rows.filter((_, index) => results[index]?.status === 'fulfilled')
    report.stored += eventsOf(done).length
    if (done.length > 0) await this.#clear(processId, done)
    throwFirst(results)
  }

  /** A portal whose rows stay although they are deleted would give them for ever. */
  #checkNew (rows: readonly OfflineRow[]): void {
    const page = new Set(rows.map(({ rowId, messageId, event }) => event?.id ?? `${rowId} ${messageId}`))
    if (page.size > 0 && [...page].every(id => this.#lastPage.has(id))) throw new FST_B24_PORTAL_UNAVAILABLE('it gives the same events again')
    this.#lastPage = page
  }

  #tellOdd (rows: readonly OfflineRow[]): void {
    const { log, told = new Set() } = this.#parts
    const { memberId, report } = this.#order
    for (const { rowId, messageId, event } of rows) {
      const { code, isCut } = event ?? {}
      if (isCut === true) log.warn({ memberId, code, messageId }, 'offline event data exceeded limits and was dropped')
      if (event !== undefined) continue
      report.skipped++
      const name = `${memberId} ${rowId} ${messageId}`
      if (told.has(name) || told.size >= MAX_LOGGED_ROWS) continue
      told.add(name)
      log.warn({ memberId, rowId, messageId }, 'skipped a row of the offline queue that is not an event')
    }
  }

  /** Not broken off either: what is stored and not deleted comes again. A row without a number and a message cannot be named, and is left to the portal. */
  async #clear (processId: string, rows: readonly OfflineRow[]): Promise<void> {
    const messages = rows.filter(({ messageId }) => messageId !== '').map(({ messageId }) => messageId)
    const ids = rows.filter(({ rowId, messageId }) => messageId === '' && rowId !== '').map(({ rowId }) => rowId)
    // An empty list would delete all that is reserved.
    if (messages.length > 0) await this.#call('event.offline.clear', { process_id: processId, message_id: messages }, {})
    if (ids.length > 0) await this.#call('event.offline.clear', { process_id: processId, id: ids }, {})
    this.#order.report.cleared += messages.length + ids.length
  }

  /** Tries for long: nobody else has this event any more. */
  async #storeSurely (event: OfflineEvent): Promise<void> {
    const end = performance.now() + this.#parts.times.patienceMs
    let pauseMs = 50
    while (!await this.#isStored(event, end)) {
      await sleep(pauseMs)
      pauseMs = Math.min(pauseMs * 2, 1_000)
    }
    this.#order.report.stored++
  }

  async #isStored (event: OfflineEvent, end: number): Promise<boolean> {
    try {
      await this.#parts.store(event)
      return true
    } catch (error) {
      if (performance.now() < end && (error as { code?: string }).code !== 'FST_B24_CLOSING') return false
      const { memberId, code, messageId, data } = event
      this.#parts.log.error({ err: error, memberId, code, messageId, data: redact(data) }, 'an event that waited in a portal is lost: the portal deleted it, and it cannot be stored')
      throw error
    }
  }

  /** Holds the lock on the way; fails with it, and so asks for nothing while the store is away. */
  async #call (method: Method, params: object, options: CallOptions = { signal: this.#order.signal }, waits = 0): Promise<unknown> {
    const { memberId, connector, lock, signal } = this.#order
    if (!await lock.renew(this.#parts.times.lockMs)) throw new LockLost()
    try {
      return await this.#parts.rest.call(memberId, method, { ...params, ...(connector !== '' && { auth_connector: connector }) }, options)
    } catch (error) {
      const { code, retryAfterMs = 0 } = error as { code?: string, retryAfterMs?: number }
      if (code !== 'FST_B24_PORTAL_LIMIT' || retryAfterMs > MAX_WAIT_MS || waits === MAX_WAITS) throw error
      await pause(retryAfterMs, signal)
      return await this.#call(method, params, options, waits + 1)
    }
  }
}

function throwFirst (results: ReadonlyArray<PromiseSettledResult<unknown>>): void {
  const failed = results.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

function eventsOf (rows: readonly OfflineRow[]): OfflineEvent[] {
  return rows.flatMap(({ event }) => event ?? [])
}
