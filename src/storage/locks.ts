/**
 * One holder at a time, over all processes of the app. A lock lapses with its time, so that who was killed blocks nobody for
 * long; who held it may not know. So a lock spares work that is done twice, and no more: what must never be overwritten
 * needs a number of its own to compare.
 */
export interface Locks {
  /**
   * Takes the lock for `ttlMs`; `undefined` when another holds it.
   * @throws FST_B24_STORE_UNAVAILABLE when the store cannot answer within a second. It may then be taken all the same.
   */
  take (name: string, ttlMs: number): Promise<Lock | undefined>
}

export interface Lock {
  /**
   * Holds it for `ttlMs` from now.
   * @returns `false` when it lapsed and another may have it
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  renew (ttlMs: number): Promise<boolean>
  /** Lets others have it; where it lapsed, nothing happens. Never rejects: it lapses anyway. */
  release (): Promise<void>
}
