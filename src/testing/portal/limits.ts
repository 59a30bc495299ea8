/** Rate limit of a portal. */
export interface BucketOptions {
  /**
   * Maximum burst of calls; 50 at Bitrix24.
   * @default Infinity, for fast tests
   */
  cap?: number
  /** Calls drained per second. @default 2 */
  drainPerSecond?: number
}

/** The leaky bucket behind `QUERY_LIMIT_EXCEEDED`. */
export class LeakyBucket {
  readonly #cap: number
  readonly #drainPerMs: number
  #level = 0
  #at = performance.now()

  constructor ({ cap = Infinity, drainPerSecond = 2 }: BucketOptions = {}) {
    this.#cap = cap
    this.#drainPerMs = drainPerSecond / 1000
  }

  /** @returns `false` when the bucket is full */
  take (): boolean {
    const now = performance.now()
    this.#level = Math.max(0, this.#level - (now - this.#at) * this.#drainPerMs)
    this.#at = now
    if (this.#level + 1 > this.#cap) return false
    this.#level++
    return true
  }
}

/**
 * Returns the fields of a plan in `app.info`: `en_pro100`, `pro100`, `pro`.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/common/system/app-info.md
 */
export function describeLicense (license: string, language: string): { LICENSE: string, LICENSE_TYPE: string, LICENSE_FAMILY: string } {
  return { LICENSE: `${language}_${license}`, LICENSE_TYPE: license, LICENSE_FAMILY: familyOf(license) }
}

/**
 * Returns the rate limit of a plan.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/performance/limits.md
 */
export function limitsOf (license: string): BucketOptions {
  return familyOf(license) === 'ent' ? { cap: 250, drainPerSecond: 5 } : { cap: 50, drainPerSecond: 2 }
}

function familyOf (license: string): string {
  return license.startsWith('ent') ? 'ent' : license.replace(/\d+$/, '')
}

/** Operating time of a method, in seconds, and when it is reset. */
export interface Operating {
  seconds: number
  /** Unix seconds. */
  resetAt: number
}

const LIMIT_SECONDS = 480
const WINDOW_MS = 600_000
/** Bitrix24 keeps one sum per minute. */
const MINUTE_MS = 60_000

/** Operating time per app and method, limited by `OPERATION_TIME_LIMIT`. */
export class OperatingTime {
  readonly #spent = new Map<string, Array<{ seconds: number, until: number }>>()

  /** Adds operating time to a method, for ten minutes or `resetMs`. */
  spend (clientId: string, method: string, seconds: number, resetMs = WINDOW_MS): void {
    const key = `${clientId} ${method}`
    const spent = this.#current(key)
    const until = Date.now() + resetMs
    const last = spent.at(-1)
    if (last !== undefined && Math.abs(until - last.until) < MINUTE_MS && resetMs === WINDOW_MS) last.seconds += seconds
    else spent.push({ seconds, until })
    this.#spent.set(key, spent)
  }

  of (clientId: string, method: string): Operating {
    const spent = this.#current(`${clientId} ${method}`)
    const seconds = spent.reduce((sum, entry) => sum + entry.seconds, 0)
    return { seconds, resetAt: Math.ceil((spent[0]?.until ?? Date.now() + WINDOW_MS) / 1000) }
  }

  isOver (clientId: string, method: string): boolean {
    return this.of(clientId, method).seconds > LIMIT_SECONDS
  }

  #current (key: string): Array<{ seconds: number, until: number }> {
    return (this.#spent.get(key) ?? []).filter(({ until }) => until > Date.now())
  }
}
