import { isObject } from '../../validation.ts'
import { LONGEST_CLOSED_MS } from '../../storage/limits.ts'

const SHORTEST_MS = 1_000
const MOST_METHODS = 5_000

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
  return Number.isFinite(ms) ? Math.min(Math.max(ms, SHORTEST_MS), LONGEST_CLOSED_MS) : undefined
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
    if (this.#resets.size <= MOST_METHODS) return
    const [oldest] = this.#resets.keys()
    this.#resets.delete(oldest as string)
  }

  /** How long to wait from now, ms; `undefined` where nothing is known, or it is over. */
  waitMs (memberId: string, method: string): number | undefined {
    const waitMs = (this.#resets.get(keyOf(memberId, method)) ?? 0) - this.#now()
    return waitMs > 0 ? Math.max(Math.ceil(waitMs), SHORTEST_MS) : undefined
  }

  get size (): number {
    return this.#resets.size
  }
}

function keyOf (memberId: string, method: string): string {
  return `${memberId} ${method.toLowerCase()}`
}
