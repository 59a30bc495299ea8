import { FST_B24_INVALID_CURSOR, FST_B24_INVALID_FILTER, FST_B24_NO_DEAD_LETTER, FST_B24_PORTAL_GONE } from '../errors.ts'
import { baseCode } from '../events/definitions.ts'
import type { WebhookTokens } from '../installs/application-token.ts'
import { isIntegerIn } from '../validation.ts'
import type { DeadEvent, DeadEventFilter, DeadLetterStore } from '../storage/queued-event.ts'
import type { InstallStore } from '../storage/install-store.ts'
import { redact } from '../wire/redact.ts'
import { nameOfCode, payloadOf } from './queued-post.ts'

/** Most dead letters of one page. */
const MAX_PAGE = 100

/** An event that could not be handled. Holds no secret. */
export interface DeadLetter {
  /** That of the event. */
  readonly id: string
  readonly memberId: string
  /** Documented name of the event; its code where there is none, `''` for what was no event of this plugin. */
  readonly name: string
  readonly code: string
  /** ms since the epoch. */
  readonly receivedAt: number
  /** When the last attempt failed, ms since the epoch. */
  readonly failedAt: number
  readonly attempts: number
  /** How many deliveries it stands for. */
  readonly coalesced: number
  readonly error: { readonly message: string, readonly code?: string }
  /** The body as it was decoded, without its secrets. */
  readonly raw: unknown
}

export interface DeadLetterQuery extends DeadLetterFilter {
  /** That of the page before. */
  cursor?: string | undefined
  /**
   * Most dead letters of the page, 1 to 100.
   * @default 100
   */
  limit?: number | undefined
}

export interface DeadLetterList {
  items: DeadLetter[]
  /** Pass it to the next call; `undefined` when there is no more. */
  cursor?: string
}

type DeadLetterReference = Pick<DeadEvent, 'id' | 'memberId' | 'code'>

/** What could not be handled, to be looked at, tried again or thrown away. */
export class DeadLetters {
  readonly #deadLetters: DeadLetterStore
  readonly #store: InstallStore
  readonly #webhooks: WebhookTokens
  readonly #isLifecycle: (code: string) => boolean

  /** `isLifecycle` tells by its code whether an event changes an install. */
  constructor (stored: DeadLetterStore, store: InstallStore, webhooks: WebhookTokens, isLifecycle: (code: string) => boolean) {
    this.#isLifecycle = isLifecycle
    this.#deadLetters = stored
    this.#store = store
    this.#webhooks = webhooks
  }

  /**
   * Lists some dead letters, newest first. A page with a filter may be short, even empty, and have a `cursor` all the same.
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
   * The dead letter of that id, or `undefined` when there is none.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async get (id: string): Promise<DeadLetter | undefined> {
    const dead = await this.#deadLetters.get(id)
    return dead && toDeadLetter(dead)
  }

  /**
   * Puts one event back into the queue, its attempts counted anew; or all that meet a filter (`{}`: all), those of portals that
   * are gone left out. Hooks and handlers that have succeeded do not run again. Lifecycle events need no portal that is there:
   * they make it, or tell that it is gone.
   *
   * @returns how many
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
   * Deletes one dead letter, or all that meet a filter (`{}`: all).
   *
   * @returns how many
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

  /** Walks first and acts then: what is taken out, or fails again, would shift the pages. The bodies are not kept meanwhile. */
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

/** A dead letter as the app sees it. */
export function toDeadLetter (dead: DeadEvent): DeadLetter {
  const { event, ...facts } = dead
  return { ...facts, name: nameOfCode(dead.code), raw: redact(payloadOf(event)?.envelope) }
}

/** Which dead letters are meant; `{}`: all. */
export interface DeadLetterFilter {
  memberId?: string
  /** Name or code of the event, in any case; without a type suffix, those with one are meant too. */
  event?: string
}

const KEYS: readonly string[] = ['memberId', 'event'] satisfies Array<keyof DeadLetterFilter>

/**
 * Refuses whatever may be a slip: a filter that says less than was meant would throw away what is kept.
 *
 * @throws FST_B24_INVALID_FILTER
 */
export function checkDeadLetterFilter (filter: unknown): DeadLetterFilter {
  // A Map or a promise has no keys either, and does not mean all.
  if (Object.prototype.toString.call(filter) !== '[object Object]') throw new FST_B24_INVALID_FILTER('an id or an object is needed')
  for (const [key, value] of Object.entries(filter as object)) {
    if (!KEYS.includes(key)) throw new FST_B24_INVALID_FILTER(`there is no '${key}', only ${KEYS.join(' and ')}`)
    if (typeof value !== 'string') throw new FST_B24_INVALID_FILTER(`${key} must be a string; left out, it means all`)
  }
  return filter as DeadLetterFilter
}

/** What a filter asks of a letter; `undefined` for nothing. */
export function predicateOf ({ memberId, event }: DeadLetterFilter): DeadEventFilter | undefined {
  if (memberId === undefined && event === undefined) return undefined
  const wanted = event?.toUpperCase()
  return dead => (memberId ?? dead.memberId) === dead.memberId && (wanted === undefined || [dead.code, baseCode(dead.code)].includes(wanted))
}
