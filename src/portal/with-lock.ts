import { setTimeout as sleep } from 'node:timers/promises'
import { unavailable } from '../oauth/request.ts'
import type { Lock, Locks } from '../storage/storage.ts'

export interface LockOptions {
  name: string
  /** Lock TTL, in milliseconds: how soon another process can take over after a crash. */
  lockMs: number
  /** How long to wait for another holder, in milliseconds. */
  waitMs: number
  /** Aborts the wait. */
  signal: AbortSignal
}

const SLOW_AFTER_MS = 1000

/**
 * Runs `work` under a lock. While another process holds the lock, `poll` checks whether that one has produced the result already.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the other holder takes longer than `waitMs`
 * @throws FST_B24_STORE_UNAVAILABLE
 */
export async function withLock<T> (locks: Locks, { name, lockMs, waitMs, signal }: LockOptions, work: () => Promise<T>, poll: () => Promise<T | undefined>): Promise<T> {
  const start = performance.now()
  for (;;) {
    const lock = await locks.take(name, lockMs)
    if (lock !== undefined) return await whileLocked(lock, lockMs, work)
    const waited = performance.now() - start
    if (waited >= waitMs) throw unavailable('another process is still refreshing')
    // A response usually takes 100 ms; after a second, assume an outage with many waiters and poll less often.
    await sleep(10 + Math.random() * (waited < SLOW_AFTER_MS ? 40 : 190), undefined, { signal }).catch(() => { throw unavailable('aborted') })
    const found = await poll()
    if (found !== undefined) return found
  }
}

/** Runs `work`, renewing the lock, and releases it afterwards. */
export async function whileLocked<T> (lock: Lock, lockMs: number, work: () => Promise<T>): Promise<T> {
  // The lock still expires if this process stalls or the store is down, so `work` must tolerate a second holder.
  const timer = setInterval(() => { lock.renew(lockMs).catch(() => {}) }, lockMs / 3).unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
    await lock.release()
  }
}
