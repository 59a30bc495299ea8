import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_INVALID_CURSOR, FST_B24_INVALID_FILTER, FST_B24_NO_DEAD_LETTER, FST_B24_PORTAL_GONE } from '../errors.ts'
import { baseCode } from '../events/definitions.ts'
import type { WebhookTokens } from '../installs/application-token.ts'
import { isIntegerIn } from '../validation.ts'
import type { DeadLetterBox, LetterFilter, StoredLetter } from '../queue/queue.ts'
import type { InstallStore } from '../storage/install-store.ts'
import { redact } from '../wire/redact.ts'
import { nameOfCode, payloadOf } from './queued-post.ts'

/** Most letters of one page. */
const MOST_LISTED = 100

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
   * Most letters of the page, 1 to 100.
   * @default 100
   */
  limit?: number | undefined
}

export interface DeadLetterList {
  letters: DeadLetter[]
  /** Pass it to the next call; `undefined` when there is no more. */
  cursor?: string
}

type Named = Pick<StoredLetter, 'id' | 'memberId' | 'code'>

/** What could not be handled, to be looked at, tried again or thrown away. */
export class DeadLetters {
  readonly #box: DeadLetterBox
  readonly #store: InstallStore
  readonly #webhooks: WebhookTokens
  readonly #isLifecycle: (code: string) => boolean

  /** `isLifecycle` tells by its code whether an event changes an install. */
  constructor (box: DeadLetterBox, store: InstallStore, webhooks: WebhookTokens, isLifecycle: (code: string) => boolean) {
    this.#isLifecycle = isLifecycle
    this.#box = box
    this.#store = store
    this.#webhooks = webhooks
  }

  /**
   * Lists some dead letters, newest first. A page with a filter may be short, even empty, and have a `cursor` all the same.
   *
   * @throws FST_B24_INVALID_FILTER, FST_B24_INVALID_CURSOR, FST_B24_STORE_UNAVAILABLE
   */
  async list ({ cursor, limit = MOST_LISTED, ...filter }: DeadLetterQuery = {}): Promise<DeadLetterList> {
    if (!isIntegerIn(limit, 1, MOST_LISTED)) throw new FST_B24_INVALID_FILTER(`limit must be a whole number from 1 to ${MOST_LISTED}`)
    if (cursor !== undefined && typeof cursor !== 'string') throw new FST_B24_INVALID_CURSOR()
    const page = await this.#box.list(meets(checkLetterFilter(filter)), cursor, limit)
    return { letters: page.letters.map(shown), ...(page.cursor !== undefined && { cursor: page.cursor }) }
  }

  /**
   * The dead letter of that id, or `undefined` when there is none.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async get (id: string): Promise<DeadLetter | undefined> {
    const letter = await this.#box.get(id)
    return letter && shown(letter)
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
    const letter = await this.#box.get(which)
    if (letter !== undefined && !await this.#mayReplay(letter)) throw new FST_B24_PORTAL_GONE()
    if (letter === undefined || !await this.#box.replay(which)) throw new FST_B24_NO_DEAD_LETTER(which)
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
    if (typeof which !== 'string') return await this.#each(which, async ({ id }) => await this.#box.discard(id))
    if (!await this.#box.discard(which)) throw new FST_B24_NO_DEAD_LETTER(which)
    return 1
  }

  async #replayAll (filter: DeadLetterFilter): Promise<number> {
    const known = new Map<string, boolean>()
    return await this.#each(filter, async (letter) => {
      const { id, memberId } = letter
      if (!this.#isLifecycle(letter.code)) known.set(memberId, known.get(memberId) ?? await this.#isThere(memberId))
      return (this.#isLifecycle(letter.code) || known.get(memberId) === true) && await this.#box.replay(id)
    })
  }

  /** Walks first and acts then: what is taken out, or fails again, would shift the pages. The bodies are not kept meanwhile. */
  async #each (filter: DeadLetterFilter, act: (letter: Named) => Promise<boolean>): Promise<number> {
    const meant = meets(checkLetterFilter(filter))
    const found: Named[] = []
    let cursor: string | undefined
    do {
      const page = await this.#box.list(meant, cursor)
      for (const { id, memberId, code } of page.letters) found.push({ id, memberId, code })
      cursor = page.cursor
    } while (cursor !== undefined)
    let count = 0
    for (const letter of found) count += Number(await act(letter))
    return count
  }

  async #mayReplay (letter: StoredLetter): Promise<boolean> {
    return this.#isLifecycle(letter.code) || await this.#isThere(letter.memberId)
  }

  async #isThere (memberId: string): Promise<boolean> {
    const stored = await this.#store.get(memberId)
    return stored === undefined ? this.#webhooks.knows(memberId) : stored.install.state !== 'uninstalled'
  }
}

/** A dead letter as the app sees it. */
export function shown (letter: StoredLetter): DeadLetter {
  const { event, ...facts } = letter
  return { ...facts, name: nameOfCode(letter.code), raw: redact(payloadOf(event)?.envelope) }
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
export function checkLetterFilter (filter: unknown): DeadLetterFilter {
  // A Map or a promise has no keys either, and does not mean all.
  if (Object.prototype.toString.call(filter) !== '[object Object]') throw new FST_B24_INVALID_FILTER('an id or an object is needed')
  for (const [key, value] of Object.entries(filter as object)) {
    if (!KEYS.includes(key)) throw new FST_B24_INVALID_FILTER(`there is no '${key}', only ${KEYS.join(' and ')}`)
    if (typeof value !== 'string') throw new FST_B24_INVALID_FILTER(`${key} must be a string; left out, it means all`)
  }
  return filter as DeadLetterFilter
}

/** What a filter asks of a letter; `undefined` for nothing. */
export function meets ({ memberId, event }: DeadLetterFilter): LetterFilter | undefined {
  if (memberId === undefined && event === undefined) return undefined
  const wanted = event?.toUpperCase()
  return letter => (memberId ?? letter.memberId) === letter.memberId && (wanted === undefined || [letter.code, baseCode(letter.code)].includes(wanted))
}

/** Least time between two looks, ms. */
const LOOK_MS = 60_000

/** To be called after each dead letter: warns when another one pushes out the oldest, be it of another portal. Looks now and then only. */
export function warnWhenFull (count: () => Promise<number>, maxCount: number, log: Pick<FastifyBaseLogger, 'warn'>): () => void {
  let lookedAt = -Infinity
  const look = async (): Promise<void> => {
    const dead = await count()
    if (dead >= maxCount) log.warn({ dead, maxCount }, 'as many dead letters as are kept: each new one takes the place of the oldest')
  }
  return () => {
    const now = performance.now()
    if (now - lookedAt < LOOK_MS) return
    lookedAt = now
    // A store that is away is told by who needs it.
    look().catch(() => {})
  }
}
