import type { EventStore, EventStoreSettings } from './event-store.ts'
import type { InstallStore } from './install-store.ts'
import type { PortalBuckets } from './call-rate-limits.ts'
import type { PendingInstalls } from './pending-installs.ts'

/** Version of the storage layout. A process that finds another version does not start: the two would break each other's guarantees. */
export const LAYOUT = '1'

/** Persistent storage of an app, implemented by one driver for each database. Only `open-storage.ts` chooses the driver. */
export interface Storage {
  readonly installs: InstallStore
  readonly pendingInstalls: PendingInstalls
  readonly events: EventStore
  readonly limits: PortalBuckets
  readonly locks: Locks
  /** Closes what was opened, but no connection of the caller. Never rejects. */
  close (): Promise<void>
}

export interface StorageSettings {
  /** `appId()` of the app. */
  app: string
  events: EventStoreSettings
  /** Number of Redis replicas that must acknowledge an event. */
  waitReplicas: number
  /** Called for each kind of connection failure; `onReady` once it is restored. The error contains no secret. */
  onError: (error: Error) => void
  onReady: () => void
  /** Called if the storage is configured in a way that may lose data. */
  onWarning: (problem: string) => void
}

/**
 * Locks across all processes of the app. A lock expires, so that a crashed process does not block others; its owner may not notice. A lock
 * therefore only avoids duplicate work. Data that must never be overwritten needs a version to compare.
 */
export interface Locks {
  /**
   * Acquires the lock for `ttlMs`; resolves with `undefined` if another process has it.
   * @throws FST_B24_STORE_UNAVAILABLE if the store does not answer within a second; the lock may be acquired anyway
   */
  take (name: string, ttlMs: number): Promise<Lock | undefined>
}

export interface Lock {
  /**
   * Extends the lock to `ttlMs` from now.
   * @returns `false` if it has expired, so another process may have it
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  renew (ttlMs: number): Promise<boolean>
  /** Releases the lock; no-op if it has expired. Never rejects, since it expires anyway. */
  release (): Promise<void>
}
