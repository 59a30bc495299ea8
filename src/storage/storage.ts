import type { EventStore, EventStoreSettings } from './event-store.ts'
import type { InstallStore } from './install-store.ts'
import type { PortalBuckets } from './limits.ts'
import type { Lock } from './locks.ts'
import type { PendingInstalls } from './pending-installs.ts'

/** Version of what stands in a storage. A process that finds another one does not start: the two would break each other's guarantees. */
export const LAYOUT = '1'

/** All that an app keeps. One contract, a driver for each kind of storage; which one it is, only `open-storage.ts` knows. */
export interface Storage {
  readonly installs: InstallStore
  readonly pendingInstalls: PendingInstalls
  readonly events: EventStore
  readonly limits: PortalBuckets
  /**
   * Takes a lock for `ttlMs`; `undefined` when another holds it.
   * @throws FST_B24_STORE_UNAVAILABLE when the storage cannot answer within a second. It may then be taken anyway.
   */
  lock (name: string, ttlMs: number): Promise<Lock | undefined>
  /** Closes what was opened, and nothing that someone else owns. Never rejects. */
  close (): Promise<void>
}

export interface StorageSettings {
  /** `appId()` of the app. */
  app: string
  events: EventStoreSettings
  /** Replicas of Redis that must have an event before it counts as stored. */
  waitReplicas: number
  /** Called with each kind of failure of a connection, and when it is there again. No secret stands in it. */
  onError: (error: Error) => void
  onReady: () => void
  /** Called when the storage may lose what it is given. */
  onWarning: (problem: string) => void
}
