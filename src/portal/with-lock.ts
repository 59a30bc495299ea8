import { setTimeout as sleep } from 'node:timers/promises'
import { unavailable } from '../oauth/request.ts'
import type { Lock, Locks } from '../storage/locks.ts'

export interface LockOptions {
  name: string
  /** Time after which others take over from who was killed, ms. */
  lockMs: number
  /** Longest wait for another holder, ms. */
  waitMs: number
  /** Ends the wait. */
  signal: AbortSignal
}

const SOON_MS = 1000

/**
 * Runs `work` under a lock, and holds the lock until it ends. While another holds it, `glance` looks whether there is
 * anything left to do: what it finds is the result.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the other holder takes too long
 * @throws FST_B24_STORE_UNAVAILABLE
 */
export async function withLock<T> (locks: Locks, { name, lockMs, waitMs, signal }: LockOptions, work: () => Promise<T>, glance: () => Promise<T | undefined>): Promise<T> {
  const start = performance.now()
  for (;;) {
    const lock = await locks.take(name, lockMs)
    if (lock !== undefined) return await holdLock(lock, lockMs, work)
    const waited = performance.now() - start
    if (waited >= waitMs) throw unavailable('another process is still asking')
    // An answer takes a tenth of a second; what takes longer is an outage, in which many may wait.
    await sleep(10 + Math.random() * (waited < SOON_MS ? 40 : 190), undefined, { signal }).catch(() => { throw unavailable('broken off') })
    const found = await glance()
    if (found !== undefined) return found
  }
}

/** Runs `work`, and renews the lock until it ends. */
export async function holdLock<T> (lock: Lock, lockMs: number, work: () => Promise<T>): Promise<T> {
  // It lapses all the same while this process stands still, or the store is away: who works must reckon with that.
  const timer = setInterval(() => { lock.renew(lockMs).catch(() => {}) }, lockMs / 3).unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
    await lock.release()
  }
}
