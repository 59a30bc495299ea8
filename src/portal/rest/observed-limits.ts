import { limitError, type PortalLimitError } from './call-error.ts'
import { MAX_CLOSED_MS } from '../../storage/call-rate-limits.ts'
import { isObject } from '../../validation.ts'

const MIN_WAIT_MS = 1_000
const MAX_METHODS = 5_000

/**
 * Parses from the `time` of a response how long until operating time of the method is freed, in milliseconds; `undefined` if it is absent.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/performance/limits.md
 */
export function operatingWaitMs (time: unknown): number | undefined {
  if (!isObject(time)) return undefined
  const { operating_reset_at: resetAt, finish } = time
  if (typeof resetAt !== 'number') return undefined
  // Prefer the portal's own clock.
  const now = typeof finish === 'number' ? finish : Date.now() / 1000
  const ms = Math.ceil((resetAt - now) * 1000)
  // Never longer than Bitrix24's own maximum.
  return Number.isFinite(ms) ? Math.min(Math.max(ms, MIN_WAIT_MS), MAX_CLOSED_MS) : undefined
}

/** Remembers from successful responses when operating time of a method is freed: the rejection itself does not say. */
export class OperatingResets {
  readonly #now: () => number
  /** In order of last update. */
  readonly #resets = new Map<string, number>()

  /** `now` is a monotonic clock in milliseconds. */
  constructor (now = () => performance.now()) {
    this.#now = now
  }

  /** Records the `time` of a success. */
  record (memberId: string, method: string, time: unknown): void {
    const waitMs = operatingWaitMs(time)
    if (waitMs === undefined) return
    const key = keyOf(memberId, method)
    this.#resets.delete(key)
    this.#resets.set(key, this.#now() + waitMs)
    if (this.#resets.size <= MAX_METHODS) return
    const [oldest] = this.#resets.keys()
    this.#resets.delete(oldest as string)
  }

  /** Returns the remaining wait in milliseconds; `undefined` if nothing is known or it is over. */
  waitMs (memberId: string, method: string): number | undefined {
    const waitMs = (this.#resets.get(keyOf(memberId, method)) ?? 0) - this.#now()
    return waitMs > 0 ? Math.max(Math.ceil(waitMs), MIN_WAIT_MS) : undefined
  }

  get size (): number {
    return this.#resets.size
  }
}

export type LimitScope = 'portal' | 'method'

/** A portal, or one method of it, is blocked until an administrator or Bitrix24 acts. */
export interface PortalBlock {
  memberId: string
  /** `OVERLOAD_LIMIT`: Bitrix24 blocked REST on the portal; `METHOD_CONFIRM_WAITING`: an administrator must allow the method. */
  reason: string
  method: string
  /** When the portal is tried again, in milliseconds from now. */
  retryAfterMs: number
}

export interface PortalBlocksParts {
  /** Called once per block, until the portal accepts a call again. */
  onBlocked?: ((block: PortalBlock) => void) | undefined
  /** Monotonic clock in milliseconds. @default performance.now */
  now?: (() => number) | undefined
}

interface Entry {
  reason: string
  method: string
  until: number
}

const MAX_ENTRIES = 1_000
const ENTRY_TTL_MS = 24 * 60 * 60 * 1000
const ALL_METHODS = '*'

/** Blocks known to this process. Calls to a blocked portal fail without a request until the retry is due. */
export class PortalBlocks {
  readonly #onBlocked: PortalBlocksParts['onBlocked']
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()

  constructor ({ onBlocked, now = () => performance.now() }: PortalBlocksParts = {}) {
    this.#onBlocked = onBlocked
    this.#now = now
  }

  /** Returns the error for a call that would be blocked. */
  errorFor (memberId: string, method: string): PortalLimitError | undefined {
    if (this.#entries.size === 0) return undefined
    for (const about of [ALL_METHODS, method]) {
      const entry = this.#entries.get(keyOf(memberId, about))
      const waitMs = entry === undefined ? 0 : entry.until - this.#now()
      if (entry !== undefined && waitMs > 0) return limitError(method, entry.reason, Math.ceil(waitMs))
    }
    return undefined
  }

  add (scope: LimitScope, { memberId, reason, method, retryAfterMs }: PortalBlock): void {
    const key = keyOf(memberId, scope === 'portal' ? ALL_METHODS : method)
    const isKnown = this.#entries.get(key)?.reason === reason
    this.#entries.delete(key)
    this.#entries.set(key, { reason, method, until: this.#now() + retryAfterMs })
    this.#evict()
    if (!isKnown) this.#onBlocked?.({ memberId, reason, method, retryAfterMs })
  }

  /** Clears the blocks after a successful call. */
  clear (memberId: string, method: string): void {
    if (this.#entries.size === 0) return
    for (const about of [ALL_METHODS, method]) this.#entries.delete(keyOf(memberId, about))
  }

  /** Returns all blocks, newest last; `retryAfterMs` is 0 if the next call will be sent. */
  list (): PortalBlock[] {
    this.#evict()
    return [...this.#entries].map(([key, { reason, method, until }]) => ({
      memberId: key.slice(0, key.indexOf(' ')), reason, method, retryAfterMs: Math.max(0, Math.ceil(until - this.#now()))
    }))
  }

  #evict (): void {
    for (const [key, { until }] of this.#entries) {
      if (this.#entries.size > MAX_ENTRIES || this.#now() - until > ENTRY_TTL_MS) this.#entries.delete(key)
    }
  }
}

function keyOf (memberId: string, method: string): string {
  return `${memberId} ${method.toLowerCase()}`
}
