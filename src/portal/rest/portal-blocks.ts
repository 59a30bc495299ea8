import type { LimitScope } from './classify-response.ts'
import { limitError, type PortalLimitError } from './call-error.ts'

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

const MOST = 1_000
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
      if (this.#entries.size > MOST || this.#now() - until > FORGOTTEN_MS) this.#entries.delete(key)
    }
  }
}

function keyOf (memberId: string, method: string): string {
  return `${memberId} ${method.toLowerCase()}`
}
