import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_APP_KEYS, FST_B24_CLOSING, FST_B24_OAUTH_UNAVAILABLE, FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import type { Install, PairOwner } from '../../installs/install.ts'
import { type InstallStore, scanInstalls } from '../../storage/install-store.ts'
import { validPairs } from './access-state.ts'
import { refreshedAt } from './token-refresh.ts'
import type { Tokens } from './tokens.ts'

export interface KeepAliveParts {
  store: Pick<InstallStore, 'scan'>
  tokens: Pick<Tokens, 'refreshIdle'>
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Stops the sweep. */
  signal: AbortSignal
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** A pair whose refresh token expires soon unless it is used. */
interface DuePair {
  memberId: string
  owner: PairOwner
}

/** Refresh tokens expire after 180 days. */
const MAX_IDLE_MS = 150 * 24 * 60 * 60 * 1000
const MINUTE_MS = 60_000
const SWEEP_INTERVAL_MS = 6 * 60 * MINUTE_MS
const MIN_PER_SWEEP = 10
/** Fraction of the due pairs per sweep: a large fleet that installed on one day must be done within the remaining month. */
const FRACTION_PER_SWEEP = 1 / 20
/** Errors that abort the whole sweep: they are not about one portal. */
const FATAL_ERRORS = [FST_B24_CLOSING, FST_B24_STORE_UNAVAILABLE]
/** Errors that abort the sweep after several in a row: a single one may be about that portal. */
const SUSPECT_ERRORS = [FST_B24_APP_KEYS, FST_B24_OAUTH_UNAVAILABLE]
const MAX_SUSPECTS_IN_A_ROW = 3

/** Periodically refreshes token pairs that have been unused for months. */
export class KeepAlive {
  readonly #parts: KeepAliveParts
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined

  constructor (parts: KeepAliveParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  /** Starts the sweeps; the first within ten minutes, for processes that restart every few hours, and at random, to spread them. */
  start (): void {
    this.#next((1 + Math.random() * 9) * MINUTE_MS)
  }

  stop (): void {
    clearTimeout(this.#timer)
  }

  /** Runs one sweep. Never rejects. */
  async run (): Promise<void> {
    try {
      await this.#refreshDue()
    } catch (error) {
      if (!(error instanceof FST_B24_CLOSING)) this.#parts.log.warn({ err: error }, 'token keep-alive failed')
    }
  }

  #next (ms: number): void {
    this.#timer = setTimeout(() => {
      this.#next(SWEEP_INTERVAL_MS)
      this.run()
    }, ms).unref()
  }

  async #refreshDue (): Promise<void> {
    const { tokens, log, signal } = this.#parts
    const before = this.#now() - MAX_IDLE_MS
    let suspects = 0
    for (const { memberId, owner } of await this.#findDue(before)) {
      if (signal.aborted) return
      try {
        await tokens.refreshIdle(memberId, owner, before)
        suspects = 0
      } catch (error) {
        if (SUSPECT_ERRORS.some(Suspect => error instanceof Suspect)) suspects++
        if (suspects >= MAX_SUSPECTS_IN_A_ROW || FATAL_ERRORS.some(Fatal => error instanceof Fatal)) throw error
        log.warn({ err: error, memberId, owner }, 'failed to refresh idle token')
      }
      await sleep(Math.random() * 100, undefined, { ref: false })
    }
  }

  /** Picks some due pairs at random, so that processes sweeping at the same time rarely pick the same. */
  async #findDue (before: number): Promise<DuePair[]> {
    const due: DuePair[] = []
    for await (const installs of scanInstalls(this.#parts.store)) due.push(...installs.flatMap(install => duePairs(install, before)))
    return shuffle(due).slice(0, Math.max(MIN_PER_SWEEP, Math.ceil(due.length * FRACTION_PER_SWEEP)))
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
