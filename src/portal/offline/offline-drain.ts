import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { pause } from '../../async/abort.ts'
import { FST_B24_PORTAL_UNAVAILABLE } from '../../errors.ts'
import { type OfflineEvent, type OfflineRow, parseRows } from './offline-event.ts'
import type { CallOptions } from '../rest/call-arguments.ts'
import type { Reason } from '../rest/call-error.ts'
import type { Rest } from '../rest/rest.ts'
import type { Lock } from '../../storage/storage.ts'
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
  /** Invalid rows that this process has logged already. */
  logged?: Set<string> | undefined
}

export interface OfflineTimes {
  /** Lock TTL, in milliseconds: how soon another process can take over after a crash. */
  lockMs: number
  /** How long to retry storing an event that the portal has deleted already, in milliseconds. */
  storeRetryMs: number
}

export interface DrainTask {
  memberId: string
  /** `''` for the unnamed queue. */
  connector: string
  lock: Lock
  report: DrainReport
  /** Skips the recovery of rows reserved by crashed processes. */
  isNewOnly: boolean
  signal: AbortSignal | undefined
}

/** The lock expired; another process may be draining by now. */
export class LockLost extends Error {}

/** Rows requested per call. Portals may cap it at Bitrix24's default, `PAGE_SIZE`. */
const MAX_ROWS = 200
const PAGE_SIZE = 50
/** Rows per call when the portal deletes on read: a lost response loses at most these. */
const ROWS_AT_RISK = 10
/** Bounds of the waits for a rate-limited portal. */
const MAX_WAIT_MS = 15_000
const MAX_WAITS = 20
const MAX_LOGGED_ROWS = 1_000

type Method = 'event.offline.get' | 'event.offline.list' | 'event.offline.clear'

/**
 * Drains one offline queue of a portal: reserves rows, stores them, and only then deletes them at the portal. The API is dangerous by default:
 * `event.offline.clear` without ids deletes a whole batch, and with an empty process id everything; `event.offline.get` deletes what it returns
 * unless `clear` is 0.
 */
export class OfflineDrain {
  readonly #parts: OfflineDrainParts
  readonly #task: DrainTask
  /** Row ids of the previous page. */
  #lastPage = new Set<string>()

  constructor (parts: OfflineDrainParts, task: DrainTask) {
    this.#parts = parts
    this.#task = task
  }

  /** @throws LockLost */
  async run (): Promise<void> {
    const left = this.#task.isNewOnly ? { isEmpty: false, hasErrors: false } : await this.#recoverReserved()
    if (left.isEmpty) return
    await this.#fetchAll({})
    // A row marked as failed absorbs later changes of the same item, so it must be fetched too.
    if (left.hasErrors) await this.#fetchAll({ error: 1 })
  }

  /** Recovers rows reserved by a process that crashed or missed the response. The lock guarantees that no other process has reserved any. */
  async #recoverReserved (): Promise<{ isEmpty: boolean, hasErrors: boolean }> {
    const seen = new Set<string>()
    for (;;) {
      // Reserved rows first, then failed ones.
      const rows = parseRows(this.#task.memberId, await this.#call('event.offline.list', { order: { PROCESS_ID: 'DESC', ERROR: 'DESC' } }))
      const reserved = rows.filter(({ processId, rowId }) => processId !== '' && !seen.has(rowId))
      if (reserved.length === 0) return { isEmpty: rows.length === 0, hasErrors: rows.some(({ isError, processId }) => isError && processId === '') }
      for (const processId of new Set(reserved.map(row => row.processId))) {
        await this.#storeAndClear(processId, reserved.filter(row => row.processId === processId))
      }
      for (const { rowId } of reserved) seen.add(rowId)
    }
  }

  async #fetchAll (kind: { error?: 1 }): Promise<void> {
    const { report } = this.#task
    for (;;) {
      const rows = report.atRisk ? await this.#fetchPageAtRisk(kind) : await this.#fetchPage(kind)
      if (rows < (report.atRisk ? ROWS_AT_RISK : PAGE_SIZE)) return
    }
  }

  async #fetchPage (kind: { error?: 1 }): Promise<number> {
    const { report } = this.#task
    try {
      const { process_id: processId, events } = await this.#get({ clear: 0, limit: MAX_ROWS, ...kind })
      this.#checkNew(events)
      await this.#storeAndClear(scalarText(processId), events)
      return events.length
    } catch (error) {
      if ((error as { portalCode?: string }).portalCode?.toUpperCase() !== 'WRONG_LICENSE') throw error
      report.atRisk = true
      return await this.#fetchPageAtRisk(kind)
    }
  }

  /** For plans without reservations, where `get` deletes the rows. The call is never aborted. */
  async #fetchPageAtRisk (kind: { error?: 1 }): Promise<number> {
    const { report, signal } = this.#task
    signal?.throwIfAborted()
    const { events } = await this.#get({ clear: 1, limit: ROWS_AT_RISK, ...kind }, {})
    report.reserved += events.length
    report.cleared += events.length
    this.#logInvalid(events)
    const results = await Promise.allSettled(eventsOf(events).map(async event => await this.#storeWithRetries(event)))
    throwFirst(results)
    return events.length
  }

  async #get (params: object, options?: CallOptions): Promise<{ process_id?: unknown, events: OfflineRow[] }> {
    const result = await this.#call('event.offline.get', params, options) as { process_id?: unknown, events?: unknown } | undefined
    return { process_id: result?.process_id, events: parseRows(this.#task.memberId, result?.events) }
  }

  /** Stores rows, then deletes the stored ones at the portal. */
  async #storeAndClear (processId: string, rows: readonly OfflineRow[]): Promise<void> {
    if (rows.length === 0) return
    if (processId === '') throw new FST_B24_PORTAL_UNAVAILABLE('it reserved events without a process id')
    const { report } = this.#task
    report.reserved += rows.length
    this.#logInvalid(rows)
    const results = await Promise.allSettled(rows.map(async ({ event }) => event !== undefined && await this.#parts.store(event)))
    const done = rows.filter((_, index) => results[index]?.status === 'fulfilled')
    report.stored += eventsOf(done).length
    if (done.length > 0) await this.#clear(processId, done)
    throwFirst(results)
  }

  /** Stops an endless loop with a portal that does not delete rows. */
  #checkNew (rows: readonly OfflineRow[]): void {
    const page = new Set(rows.map(({ rowId, messageId, event }) => event?.id ?? `${rowId} ${messageId}`))
    if (page.size > 0 && [...page].every(id => this.#lastPage.has(id))) throw new FST_B24_PORTAL_UNAVAILABLE('it returned the same events again')
    this.#lastPage = page
  }

  #logInvalid (rows: readonly OfflineRow[]): void {
    const { log, logged = new Set() } = this.#parts
    const { memberId, report } = this.#task
    for (const { rowId, messageId, event } of rows) {
      const { code, isTruncated } = event ?? {}
      if (isTruncated === true) log.warn({ memberId, code, messageId }, 'offline event data exceeded limits and was dropped')
      if (event !== undefined) continue
      report.skipped++
      const name = `${memberId} ${rowId} ${messageId}`
      if (logged.has(name) || logged.size >= MAX_LOGGED_ROWS) continue
      logged.add(name)
      log.warn({ memberId, rowId, messageId }, 'skipped an invalid row of the offline queue')
    }
  }

  /** Never aborted: rows stored but not deleted would come again. Rows without any id cannot be deleted. */
  async #clear (processId: string, rows: readonly OfflineRow[]): Promise<void> {
    const messages = rows.filter(({ messageId }) => messageId !== '').map(({ messageId }) => messageId)
    const ids = rows.filter(({ rowId, messageId }) => messageId === '' && rowId !== '').map(({ rowId }) => rowId)
    // An empty list would delete all reserved rows.
    if (messages.length > 0) await this.#call('event.offline.clear', { process_id: processId, message_id: messages }, {})
    if (ids.length > 0) await this.#call('event.offline.clear', { process_id: processId, id: ids }, {})
    this.#task.report.cleared += messages.length + ids.length
  }

  /** Retries for long, because the event exists nowhere else; a portal over its share waits until some of its events are handled. */
  async #storeWithRetries (event: OfflineEvent): Promise<void> {
    const end = performance.now() + this.#parts.times.storeRetryMs
    let pauseMs = 50
    while (!await this.#tryStore(event, end)) {
      await sleep(pauseMs)
      pauseMs = Math.min(pauseMs * 2, 1_000)
    }
    this.#task.report.stored++
  }

  async #tryStore (event: OfflineEvent, end: number): Promise<boolean> {
    try {
      await this.#parts.store(event)
      return true
    } catch (error) {
      const { code: reason } = error as { code?: string }
      if (reason === 'FST_B24_PORTAL_QUOTA' || (performance.now() < end && reason !== 'FST_B24_CLOSING')) return false
      const { memberId, code, messageId, data } = event
      this.#parts.log.error({ err: error, memberId, code, messageId, data: redact(data) }, 'offline event lost: the portal deleted it and it could not be stored')
      throw error
    }
  }

  /** Renews the lock first, so no call is made while the store is down. */
  async #call (method: Method, params: object, options: CallOptions = { signal: this.#task.signal }, waits = 0): Promise<unknown> {
    const { memberId, connector, lock, signal } = this.#task
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
