import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS, FST_B24_CLOSING, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import type { Install, PairOwner } from '../../installs/install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import { validPairs } from './portal-access.ts'
import { refreshedAt } from './token-refresh.ts'
import type { Tokens } from './tokens.ts'
import { scanInstalls } from '../../storage/update-install.ts'

export interface KeepAliveParts {
  store: Pick<InstallStore, 'scan'>
  tokens: Pick<Tokens, 'refreshIdle'>
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Ends the run. */
  signal: AbortSignal
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** A pair whose refresh token will lapse unless it is used. */
interface DuePair {
  memberId: string
  owner: PairOwner
}

/** A refresh token lives for 180 days. */
const IDLE_MS = 150 * 24 * 60 * 60 * 1000
const MINUTE_MS = 60_000
/** Between two runs. */
const PACE_MS = 6 * 60 * MINUTE_MS
/** Pairs of one run. */
const LEAST = 10
/** Part of all that are due, where that is more: a large fleet that installed within a day must get through in the month that is left. */
const SHARE = 1 / 20
/** Errors that end a run: they are not about one portal. */
const HALTS = [FST_B24_CLOSING, FST_B24_STORE_UNAVAILABLE]
/** The same of these, when so many portals in a row meet them: one alone may be about that portal. */
const SUSPECTS = [FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE]
const MOST_SUSPECTS = 3

/** Refreshes, now and then, some of the pairs that nobody has used for months. */
export class KeepAlive {
  readonly #parts: KeepAliveParts
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined

  constructor (parts: KeepAliveParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  /** The first run is soon: a process that is started anew every few hours has to look too. Processes that start together look one by one. */
  start (): void {
    this.#next((1 + Math.random() * 9) * MINUTE_MS)
  }

  stop (): void {
    clearTimeout(this.#timer)
  }

  /** Refreshes pairs one after another. Never rejects. */
  async run (): Promise<void> {
    try {
      await this.#refreshDue()
    } catch (error) {
      if (!(error instanceof FST_B24_CLOSING)) this.#parts.log.warn({ err: error }, 'token keep-alive failed')
    }
  }

  #next (ms: number): void {
    this.#timer = setTimeout(() => {
      this.#next(PACE_MS)
      this.run()
    }, ms).unref()
  }

  async #refreshDue (): Promise<void> {
    const { tokens, log, signal } = this.#parts
    const before = this.#now() - IDLE_MS
    let suspects = 0
    for (const { memberId, owner } of await this.#findDue(before)) {
      if (signal.aborted) return
      try {
        await tokens.refreshIdle(memberId, owner, before)
        suspects = 0
      } catch (error) {
        if (SUSPECTS.some(Suspect => error instanceof Suspect)) suspects++
        if (suspects >= MOST_SUSPECTS || HALTS.some(Halt => error instanceof Halt)) throw error
        log.warn({ err: error, memberId, owner }, 'failed to refresh idle token')
      }
      await sleep(Math.random() * 100, undefined, { ref: false })
    }
  }

  /** Pairs of active portals that were made before a time, some of them: which, chance says, so that processes that look at once do not all ask for the same. */
  async #findDue (before: number): Promise<DuePair[]> {
    const due: DuePair[] = []
    for await (const installs of scanInstalls(this.#parts.store)) due.push(...installs.flatMap(install => duePairs(install, before)))
    return shuffle(due).slice(0, Math.max(LEAST, Math.ceil(due.length * SHARE)))
  }
}

function duePairs (install: Install, before: number): DuePair[] {
  if (install.state !== 'active') return []
  return validPairs(install, 'installer').filter(pair => refreshedAt(pair) < before).map(({ owner }) => ({ memberId: install.memberId, owner }))
}

function shuffle<T> (list: T[]): T[] {
  const keyed = list.map(item => ({ item, key: Math.random() }))
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
}
