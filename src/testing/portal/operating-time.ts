/** How much of its time a method has used, in seconds, and until when that counts. */
export interface Operating {
  seconds: number
  /** Unix seconds. */
  resetAt: number
}

const LIMIT_SECONDS = 480
const WINDOW_MS = 600_000
/** Bitrix24 keeps a sum for each of the ten minutes. */
const MINUTE_MS = 60_000

/** The operating time behind `OPERATION_TIME_LIMIT`, of each app and method. */
export class OperatingTime {
  readonly #spent = new Map<string, Array<{ seconds: number, until: number }>>()

  /** Books time that a method took; it counts for ten minutes, or as long as is told. */
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
