import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_PORTAL_CALL } from '../../errors.ts'
import { updateInstall } from '../../storage/update-install.ts'
import type { Install } from '../../installs/install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { holdLock } from '../with-lock.ts'
import type { Lock, Locks } from '../../storage/locks.ts'
import type { DrainReport } from './offline-drain.ts'
import { type OfflineEvent, readRows } from './offline-event.ts'
import { reasonOf } from '../rest/call-error.ts'
import type { CallOptions } from '../rest/call-options.ts'
import type { Rest } from '../rest/rest.ts'
import { scalarText } from '../../validation.ts'

export interface ChatEventsParts {
  rest: Pick<Rest, 'call'>
  store: Pick<InstallStore, 'get' | 'swap'>
  locks: Locks
  /** Resolves when the event is durably queued. Events may come twice, under the same id. */
  keep: (event: OfflineEvent) => Promise<void>
  log: Pick<FastifyBaseLogger, 'warn'>
  now?: (() => number) | undefined
}

const LOCK_MS = 30_000
const PAGE = 100
/** Most pages of one fetch: then other portals have their turn. */
const MAX_PAGES = 20
/** How often the portal is asked to record events, though nothing seems to have changed, ms. */
const SUBSCRIBE_EVERY_MS = 60 * 60_000
/** Until a portal that refuses is asked again, ms. */
const REFUSED_MS = 60 * 60_000

interface Known {
  /** Whose events are recorded. */
  userId: number
  /** What the record says of the users that calls may be made for. */
  users: string
  until: number
}

/**
 * Fetches the chat events of portals (`onImV2MessageAdd` and the like), which no portal posts: those that the user of the app's tokens
 * sees. A portal keeps them for 24 hours. The offset confirms, and so deletes, all before it: it moves on when they are stored.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/chat-bots/chat-bots-v2/im.v2/events/event-get.md
 */
export class ChatEvents {
  readonly #parts: ChatEventsParts
  readonly #now: () => number
  readonly #known = new Map<string, Known>()
  readonly #refused = new Map<string, { scope: string, until: number, report: DrainReport }>()

  constructor (parts: ChatEventsParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  /** Fetches what is recorded on a portal, up to 2,000 events. Says in the report what went wrong. */
  async drain (memberId: string, options: CallOptions = {}): Promise<DrainReport> {
    const report: DrainReport = { memberId, connector: '', busy: false, reserved: 0, skipped: 0, stored: 0, cleared: 0, atRisk: false }
    const install = (await this.#parts.store.get(memberId))?.install
    if (install === undefined) return report
    const refusal = this.#refused.get(memberId)
    if (refusal !== undefined && refusal.scope === install.scope.join() && this.#now() < refusal.until) return refusal.report
    this.#refused.delete(memberId)
    try {
      const lock = await this.#parts.locks.take(`chat-events:${memberId}`, LOCK_MS)
      if (lock === undefined) return { ...report, busy: true }
      await holdLock(lock, LOCK_MS, async () => await this.#fetch(install, report, lock, options))
    } catch (error) {
      options.signal?.throwIfAborted()
      this.#known.delete(memberId)
      report.error = reasonOf(error)
      if (error instanceof FST_B24_PORTAL_CALL) this.#refused.set(memberId, { scope: install.scope.join(), until: this.#now() + REFUSED_MS, report: { ...report, reserved: 0, stored: 0 } })
    }
    return report
  }

  async drainNew (memberId: string, options?: CallOptions): Promise<DrainReport> {
    return await this.drain(memberId, options)
  }

  async #fetch (install: Install, report: DrainReport, lock: Lock, options: CallOptions): Promise<void> {
    const { memberId } = install
    const userId = await this.#subscribe(install, options)
    // Read under the lock: another process may have moved it on.
    const { chatEvents } = (await this.#parts.store.get(memberId))?.install ?? {}
    // Another user's events have numbers of their own.
    let offset = chatEvents?.userId === userId ? chatEvents.offset : undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      if (!await lock.renew(LOCK_MS)) return
      const result = await this.#parts.rest.call(memberId, 'im.v2.Event.get', { limit: PAGE, ...(offset !== undefined && { offset }) }, options)
      const { events, nextOffset, hasMore } = readPage(result, offset)
      if (nextOffset === undefined) return
      await this.#keep(memberId, userId, events, report)
      offset = nextOffset
      await updateInstall(this.#parts.store, memberId, known => ({ ...known, chatEvents: { userId, offset: nextOffset } }))
      if (!hasMore) return
    }
  }

  async #keep (memberId: string, userId: number, events: ReadonlyArray<Record<string, unknown>>, report: DrainReport): Promise<void> {
    // Each user's events have numbers of their own: what stands for the message, in the form of its id, keeps them apart.
    const messageId = `imv2${String(userId).padStart(28, '0')}`
    const rows = readRows(memberId, events.map(({ eventId, type, date, data }) => (
      { ID: eventId, MESSAGE_ID: messageId, TIMESTAMP_X: date, EVENT_NAME: type, EVENT_DATA: data }
    )))
    report.reserved += events.length
    await Promise.all(rows.map(async ({ event, rowId }) => {
      if (event === undefined) {
        report.skipped++
        return this.#parts.log.warn({ memberId, rowId }, 'skipped a chat event that is not an event')
      }
      await this.#parts.keep(event)
      report.stored++
    }))
  }

  /** Has the portal record events. @returns whose they are */
  async #subscribe ({ memberId, installer, systemUser }: Install, options: CallOptions): Promise<number> {
    const { rest } = this.#parts
    const users = JSON.stringify([installer, systemUser].map(pair => [pair?.userId, pair?.isDead]))
    const known = this.#known.get(memberId)
    if (known !== undefined && known.users === users && this.#now() < known.until) return known.userId
    await rest.call(memberId, 'im.v2.Event.subscribe', {}, options)
    const profile = await rest.call<{ ID?: unknown } | undefined>(memberId, 'profile', {}, options)
    const userId = Number(scalarText(profile?.ID))
    this.#known.set(memberId, { userId, users, until: this.#now() + SUBSCRIBE_EVERY_MS })
    return userId
  }
}

interface Page {
  events: ReadonlyArray<Record<string, unknown>>
  /** `undefined` where there is nothing new. */
  nextOffset: number | undefined
  hasMore: boolean
}

/** Reads the result of `im.v2.Event.get`. An offset that does not move on would bring the same events for ever. */
function readPage (result: unknown, offset: number | undefined): Page {
  const { events: rows, nextOffset, hasMore } = (result ?? {}) as Record<string, unknown>
  const events = (Array.isArray(rows) ? rows : []).filter(row => /^\d{1,15}$/.test(scalarText((row as { eventId?: unknown } | null)?.eventId))) as Array<Record<string, unknown>>
  const after = Math.max(-1, ...events.map(({ eventId }) => Number(eventId))) + 1
  const next = Number.isSafeInteger(nextOffset) && (nextOffset as number) >= after ? nextOffset as number : after
  const isNew = events.length > 0 && next > (offset ?? -1)
  return { events, nextOffset: isNew ? next : undefined, hasMore: hasMore === true }
}
