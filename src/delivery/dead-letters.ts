import { FST_B24_INVALID_CURSOR, FST_B24_INVALID_FILTER, FST_B24_NO_DEAD_LETTER, FST_B24_PORTAL_GONE } from '../errors.ts'
import { baseCode } from '../events/definitions.ts'
import type { WebhookTokens } from '../installs/application-token.ts'
import { isIntegerIn } from '../validation.ts'
import type { DeadEvent, DeadEventFilter, DeadLetterStore } from '../storage/queued-event.ts'
import type { InstallStore } from '../storage/install-store.ts'
import { redact } from '../wire/redact.ts'
import { nameOfCode, payloadOf } from './inbound-event.ts'

/** Maximum dead letters per page. */
const MAX_PAGE = 100

/** An event that failed permanently. Contains no secret. */
export interface DeadLetter {
  /** Id of the event. */
  readonly id: string
  readonly memberId: string
  /** Documented name of the event, otherwise its code; `''` for an unrecognized job. */
  readonly name: string
  readonly code: string
  /** ms since the epoch. */
  readonly receivedAt: number
  /** When the last attempt failed, ms since the epoch. */
  readonly failedAt: number
  readonly attempts: number
  /** Number of deliveries that were merged into this event, including itself. */
  readonly coalesced: number
  readonly error: { readonly message: string, readonly code?: string }
  /** Decoded body without its secrets. */
  readonly raw: unknown
}

export interface DeadLetterQuery extends DeadLetterFilter {
  /** Cursor of the previous page. */
  cursor?: string | undefined
  /**
   * Maximum dead letters per page, 1 to 100.
   * @default 100
   */
  limit?: number | undefined
}

export interface DeadLetterList {
  items: DeadLetter[]
  /** Cursor of the next page; absent on the last one. */
  cursor?: string
}

type DeadLetterReference = Pick<DeadEvent, 'id' | 'memberId' | 'code'>

/** Lists, replays and discards dead letters. */
export class DeadLetters {
  readonly #deadLetters: DeadLetterStore
  readonly #store: InstallStore
  readonly #webhooks: WebhookTokens
  readonly #isLifecycle: (code: string) => boolean

  /** @param isLifecycle returns whether an event of this code changes an install */
  constructor (stored: DeadLetterStore, store: InstallStore, webhooks: WebhookTokens, isLifecycle: (code: string) => boolean) {
    this.#isLifecycle = isLifecycle
    this.#deadLetters = stored
    this.#store = store
    this.#webhooks = webhooks
  }

  /**
   * Lists dead letters, newest first. With a filter, a page may be short or empty and still have a `cursor`.
   *
   * @throws FST_B24_INVALID_FILTER, FST_B24_INVALID_CURSOR, FST_B24_STORE_UNAVAILABLE
   */
  async list ({ cursor, limit = MAX_PAGE, ...filter }: DeadLetterQuery = {}): Promise<DeadLetterList> {
    if (!isIntegerIn(limit, 1, MAX_PAGE)) throw new FST_B24_INVALID_FILTER(`limit must be a whole number from 1 to ${MAX_PAGE}`)
    if (cursor !== undefined && typeof cursor !== 'string') throw new FST_B24_INVALID_CURSOR()
    const page = await this.#deadLetters.list(predicateOf(checkDeadLetterFilter(filter)), cursor, limit)
    return { items: page.items.map(toDeadLetter), ...(page.cursor !== undefined && { cursor: page.cursor }) }
  }

  /**
   * Returns the dead letter with this id, or `undefined`.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async get (id: string): Promise<DeadLetter | undefined> {
    const dead = await this.#deadLetters.get(id)
    return dead && toDeadLetter(dead)
  }

  /**
   * Queues a dead letter again with its attempts reset, or all that match a filter (`{}`: all) except those of uninstalled portals. Hooks
   * and handlers that succeeded are skipped. Lifecycle events do not require an installed portal: they create or end the install.
   *
   * @returns number of replayed events
   * @throws FST_B24_NO_DEAD_LETTER, FST_B24_PORTAL_GONE for an id
   * @throws FST_B24_INVALID_FILTER, FST_B24_STORE_UNAVAILABLE
   */
  async replay (which: string | DeadLetterFilter): Promise<number> {
    if (typeof which !== 'string') return await this.#replayAll(which)
    const dead = await this.#deadLetters.get(which)
    if (dead !== undefined && !await this.#mayReplay(dead)) throw new FST_B24_PORTAL_GONE()
    if (dead === undefined || !await this.#deadLetters.replay(which)) throw new FST_B24_NO_DEAD_LETTER(which)
    return 1
  }

  /**
   * Deletes a dead letter, or all that match a filter (`{}`: all).
   *
   * @returns number of deleted events
   * @throws FST_B24_NO_DEAD_LETTER for an id
   * @throws FST_B24_INVALID_FILTER, FST_B24_STORE_UNAVAILABLE
   */
  async discard (which: string | DeadLetterFilter): Promise<number> {
    if (typeof which !== 'string') return await this.#each(which, async ({ id }) => await this.#deadLetters.discard(id))
    if (!await this.#deadLetters.discard(which)) throw new FST_B24_NO_DEAD_LETTER(which)
    return 1
  }

  async #replayAll (filter: DeadLetterFilter): Promise<number> {
    const known = new Map<string, boolean>()
    return await this.#each(filter, async (dead) => {
      const { id, memberId } = dead
      if (!this.#isLifecycle(dead.code)) known.set(memberId, known.get(memberId) ?? await this.#isInstalled(memberId))
      return (this.#isLifecycle(dead.code) || known.get(memberId) === true) && await this.#deadLetters.replay(id)
    })
  }

  /** Collects all ids before acting on any, since removed or failing events shift the pages. Keeps no bodies in memory. */
  async #each (filter: DeadLetterFilter, act: (dead: DeadLetterReference) => Promise<boolean>): Promise<number> {
    const meant = predicateOf(checkDeadLetterFilter(filter))
    const found: DeadLetterReference[] = []
    let cursor: string | undefined
    do {
      const page = await this.#deadLetters.list(meant, cursor)
      for (const { id, memberId, code } of page.items) found.push({ id, memberId, code })
      cursor = page.cursor
    } while (cursor !== undefined)
    let count = 0
    for (const dead of found) count += Number(await act(dead))
    return count
  }

  async #mayReplay (dead: DeadEvent): Promise<boolean> {
    return this.#isLifecycle(dead.code) || await this.#isInstalled(dead.memberId)
  }

  async #isInstalled (memberId: string): Promise<boolean> {
    const stored = await this.#store.get(memberId)
    return stored === undefined ? this.#webhooks.has(memberId) : stored.install.state !== 'uninstalled'
  }
}

/** Converts a stored event to the public type. */
export function toDeadLetter (dead: DeadEvent): DeadLetter {
  const { event, ...facts } = dead
  return { ...facts, name: nameOfCode(dead.code), raw: redact(payloadOf(event)?.envelope) }
}

/** Filter of dead letters; `{}`: all. */
export interface DeadLetterFilter {
  memberId?: string
  /** Name or code of the event, in any case; without a type suffix it also matches codes with one. */
  event?: string
}

const KEYS: readonly string[] = ['memberId', 'event'] satisfies Array<keyof DeadLetterFilter>

/**
 * Validates a filter strictly: a mistake in it could discard all dead letters.
 *
 * @throws FST_B24_INVALID_FILTER
 */
function checkDeadLetterFilter (filter: unknown): DeadLetterFilter {
  // A Map or a promise has no keys, but does not mean "all".
  if (Object.prototype.toString.call(filter) !== '[object Object]') throw new FST_B24_INVALID_FILTER('must be an id or an object')
  for (const [key, value] of Object.entries(filter as object)) {
    if (!KEYS.includes(key)) throw new FST_B24_INVALID_FILTER(`unknown key '${key}', use ${KEYS.join(' and ')}`)
    if (typeof value !== 'string') throw new FST_B24_INVALID_FILTER(`${key} must be a string, or omitted to match all`)
  }
  return filter as DeadLetterFilter
}

/** Converts a filter to a predicate; `undefined` for one that matches all. */
function predicateOf ({ memberId, event }: DeadLetterFilter): DeadEventFilter | undefined {
  if (memberId === undefined && event === undefined) return undefined
  const wanted = event?.toUpperCase()
  return dead => (memberId ?? dead.memberId) === dead.memberId && (wanted === undefined || [dead.code, baseCode(dead.code)].includes(wanted))
}
