import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_PORTAL_CALL } from '../../errors.ts'
import { updateInstall, type InstallStore } from '../../storage/install-store.ts'
import type { Install } from '../../installs/install.ts'
import { whileLocked } from '../with-lock.ts'
import type { Lock, Locks } from '../../storage/storage.ts'
import type { DrainReport } from './offline-drain.ts'
import { type OfflineEvent, parseRows } from './offline-event.ts'
import { reasonOf } from '../rest/call-error.ts'
import type { CallOptions } from '../rest/call-arguments.ts'
import type { Rest } from '../rest/rest.ts'
import { scalarText } from '../../validation.ts'

export interface ChatEventsParts {
  rest: Pick<Rest, 'call'>
  store: Pick<InstallStore, 'get' | 'swap'>
  locks: Locks
  /** Resolves when the event is durably queued. May be called twice with the same id. */
  enqueue: (event: OfflineEvent) => Promise<void>
  log: Pick<FastifyBaseLogger, 'warn'>
  now?: (() => number) | undefined
}

const LOCK_MS = 30_000
const PAGE = 100
/** Pages per drain, so that other portals get their turn. */
const MAX_PAGES = 20
/** How often the recording is renewed, in milliseconds. */
const SUBSCRIPTION_TTL_MS = 60 * 60_000
/** Delay before a portal that refused is retried, in milliseconds. */
const REFUSED_MS = 60 * 60_000

interface ChatSubscription {
  /** User whose events are recorded. */
  userId: number
  /** Digest of the install's users when it was made. */
  users: string
  until: number
}

/**
 * Fetches the chat events of portals (`onImV2MessageAdd` and the like), which portals do not post: those visible to the user of the app's tokens.
 * Portals enqueue them for 24 hours. Requesting an offset deletes all events before it, so it advances only after they are stored.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/chat-bots/chat-bots-v2/im.v2/events/event-get.md
 */
export class ChatEvents {
  readonly #parts: ChatEventsParts
  readonly #now: () => number
  readonly #subscriptions = new Map<string, ChatSubscription>()
  readonly #refused = new Map<string, { scope: string, until: number, report: DrainReport }>()

  constructor (parts: ChatEventsParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  /** Fetches up to 2,000 recorded events of a portal. Rejects only on abort; other errors are in the report. */
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
      await whileLocked(lock, LOCK_MS, async () => await this.#fetch(install, report, lock, options))
    } catch (error) {
      options.signal?.throwIfAborted()
      this.#subscriptions.delete(memberId)
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
    // Read under the lock: another process may have advanced it.
    const { chatEvents } = (await this.#parts.store.get(memberId))?.install ?? {}
    // Event ids are per user.
    let offset = chatEvents?.userId === userId ? chatEvents.offset : undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      if (!await lock.renew(LOCK_MS)) return
      const result = await this.#parts.rest.call(memberId, 'im.v2.Event.get', { limit: PAGE, ...(offset !== undefined && { offset }) }, options)
      const { events, nextOffset, hasMore } = parsePage(result, offset)
      if (nextOffset === undefined) return
      await this.#enqueue(memberId, userId, events, report)
      offset = nextOffset
      await updateInstall(this.#parts.store, memberId, known => ({ ...known, chatEvents: { userId, offset: nextOffset } }))
      if (!hasMore) return
    }
  }

  async #enqueue (memberId: string, userId: number, events: ReadonlyArray<Record<string, unknown>>, report: DrainReport): Promise<void> {
    // Event ids are per user: a synthetic message id keeps them apart.
    const messageId = `imv2${String(userId).padStart(28, '0')}`
    const rows = parseRows(memberId, events.map(({ eventId, type, date, data }) => (
      { ID: eventId, MESSAGE_ID: messageId, TIMESTAMP_X: date, EVENT_NAME: type, EVENT_DATA: data }
    )))
    report.reserved += events.length
    await Promise.all(rows.map(async ({ event, rowId }) => {
      if (event === undefined) {
        report.skipped++
        return this.#parts.log.warn({ memberId, rowId }, 'skipped an invalid chat event')
      }
      await this.#parts.enqueue(event)
      report.stored++
    }))
  }

  /** Makes the portal record events. @returns the id of the user whose events it records */
  async #subscribe ({ memberId, installer, systemUser }: Install, options: CallOptions): Promise<number> {
    const { rest } = this.#parts
    const users = JSON.stringify([installer, systemUser].map(pair => [pair?.userId, pair?.isDead]))
    const known = this.#subscriptions.get(memberId)
    if (known !== undefined && known.users === users && this.#now() < known.until) return known.userId
    await rest.call(memberId, 'im.v2.Event.subscribe', {}, options)
    const profile = await rest.call<{ ID?: unknown } | undefined>(memberId, 'profile', {}, options)
    const userId = Number(scalarText(profile?.ID))
    this.#subscriptions.set(memberId, { userId, users, until: this.#now() + SUBSCRIPTION_TTL_MS })
    return userId
  }
}

interface Page {
  events: ReadonlyArray<Record<string, unknown>>
  /** `undefined` if there are no new events. */
  nextOffset: number | undefined
  hasMore: boolean
}

/** Parses the result of `im.v2.Event.get`. Ignores an offset that does not advance, which would repeat the same events forever. */
function parsePage (result: unknown, offset: number | undefined): Page {
  const { events: rows, nextOffset, hasMore } = (result ?? {}) as Record<string, unknown>
  const events = (Array.isArray(rows) ? rows : []).filter(row => /^\d{1,15}$/.test(scalarText((row as { eventId?: unknown } | null)?.eventId))) as Array<Record<string, unknown>>
  const after = Math.max(-1, ...events.map(({ eventId }) => Number(eventId))) + 1
  const next = Number.isSafeInteger(nextOffset) && (nextOffset as number) >= after ? nextOffset as number : after
  const isNew = events.length > 0 && next > (offset ?? -1)
  return { events, nextOffset: isNew ? next : undefined, hasMore: hasMore === true }
}
