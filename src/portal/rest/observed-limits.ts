import { limitError, type PortalLimitError } from './call-error.ts'
import { LONGEST_CLOSED_MS } from '../../storage/limits.ts'
import { isObject } from '../../validation.ts'

const MIN_WAIT_MS = 1_000
const MAX_METHODS = 5_000

/**
 * How long until a method's operating time counts less again, ms, out of the `time` of an answer; `undefined` where it does not say.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/performance/limits.md
 */
export function operatingWaitMs (time: unknown): number | undefined {
  if (!isObject(time)) return undefined
  const { operating_reset_at: resetAt, finish } = time
  if (typeof resetAt !== 'number') return undefined
  // By the portal's own clock where it says that.
  const now = typeof finish === 'number' ? finish : Date.now() / 1000
  const ms = Math.ceil((resetAt - now) * 1000)
  // What a portal says is never waited for longer than Bitrix24 would have one wait.
  return Number.isFinite(ms) ? Math.min(Math.max(ms, MIN_WAIT_MS), LONGEST_CLOSED_MS) : undefined
}

/** When the operating time of methods counts less again, as their last successes said: the refusal itself does not say it. */
export class OperatingResets {
  readonly #now: () => number
  /** The one that was told last is the last. */
  readonly #resets = new Map<string, number>()

  /** `now` is a clock that never goes back, in ms. */
  constructor (now = () => performance.now()) {
    this.#now = now
  }

  /** Takes the `time` of a success. */
  note (memberId: string, method: string, time: unknown): void {
    const waitMs = operatingWaitMs(time)
    if (waitMs === undefined) return
    const key = keyOf(memberId, method)
    this.#resets.delete(key)
    this.#resets.set(key, this.#now() + waitMs)
    if (this.#resets.size <= MAX_METHODS) return
    const [oldest] = this.#resets.keys()
    this.#resets.delete(oldest as string)
  }

  /** How long to wait from now, ms; `undefined` where nothing is known, or it is over. */
  waitMs (memberId: string, method: string): number | undefined {
    const waitMs = (this.#resets.get(keyOf(memberId, method)) ?? 0) - this.#now()
    return waitMs > 0 ? Math.max(Math.ceil(waitMs), MIN_WAIT_MS) : undefined
  }

  get size (): number {
    return this.#resets.size
  }
}

/** Whom a limit is about: the portal as a whole, or one method of it. */
export type LimitScope = 'portal' | 'method'

/** A portal takes no calls, or not those of one method, until somebody has acted. */
export interface PortalBlock {
  memberId: string
  /** `OVERLOAD_LIMIT`: Bitrix24 blocked REST on the portal; `METHOD_CONFIRM_WAITING`: an administrator of the portal has to allow the method. */
  reason: string
  /** Method that was called. */
  method: string
  /** Time after which the portal is asked again, ms. */
  retryAfterMs: number
}

export interface PortalBlocksParts {
  /** Told once for each block, until the portal takes a call again. */
  onBlocked?: ((block: PortalBlock) => void) | undefined
  /** A clock that never goes back, in ms. @default performance.now */
  now?: (() => number) | undefined
}

interface Entry {
  reason: string
  method: string
  until: number
}

const MAX_ENTRIES = 1_000
/** After that, nothing calls it any more. */
const FORGOTTEN_MS = 24 * 60 * 60 * 1000
const ALL_METHODS = '*'

/** What this process knows of blocks. Until it is time, it does not ask again. */
export class PortalBlocks {
  readonly #onBlocked: PortalBlocksParts['onBlocked']
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()

  constructor ({ onBlocked, now = () => performance.now() }: PortalBlocksParts = {}) {
    this.#onBlocked = onBlocked
    this.#now = now
  }

  /** The error of a call that need not be made now. */
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
    this.#forget()
    if (!isKnown) this.#onBlocked?.({ memberId, reason, method, retryAfterMs })
  }

  /** The portal took a call of the method. */
  clear (memberId: string, method: string): void {
    if (this.#entries.size === 0) return
    for (const about of [ALL_METHODS, method]) this.#entries.delete(keyOf(memberId, about))
  }

  /** All that are known, the newest last; `retryAfterMs` is 0 where the next call asks again. */
  list (): PortalBlock[] {
    this.#forget()
    return [...this.#entries].map(([key, { reason, method, until }]) => ({
      memberId: key.slice(0, key.indexOf(' ')), reason, method, retryAfterMs: Math.max(0, Math.ceil(until - this.#now()))
    }))
  }

  #forget (): void {
    for (const [key, { until }] of this.#entries) {
      if (this.#entries.size > MAX_ENTRIES || this.#now() - until > FORGOTTEN_MS) this.#entries.delete(key)
    }
  }
}

function keyOf (memberId: string, method: string): string {
  return `${memberId} ${method.toLowerCase()}`
}
