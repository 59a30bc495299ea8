import type { Install } from '../installs/install.ts'

/** A record and the version that `swap` must name to replace it. */
export interface StoredInstall {
  /** 1 for the first write, one more at each. */
  version: number
  install: Install
}

export interface InstallList {
  installs: Install[]
  /** Pass it to the next call; `undefined` when there is no more. */
  cursor?: string
}

/**
 * Keeps the installs of one app. Three verbs, so that any database can do it; `installStoreContract()` of
 * `fastify-bitrix24/testing` holds an own store against what the plugin relies on.
 *
 * Every verb rejects with `FST_B24_STORE_UNAVAILABLE` when the store cannot answer within a second. A swap that rejects may
 * have been written all the same.
 */
export interface InstallStore {
  /** The record of a portal, or `undefined` when there is none. */
  get (memberId: string): Promise<StoredInstall | undefined>
  /**
   * Writes `next` if the record still has `version` (0: if there is none), durably before it resolves.
   * @returns `true` when written, `false` when another writer was first.
   */
  swap (memberId: string, version: number, next: Install): Promise<boolean>
  /**
   * Some installs after `cursor`, in the order of their `memberId`. A record that is there during the whole walk is seen
   * exactly once.
   */
  scan (cursor?: string): Promise<InstallList>
}

/** A store and what ends it. */
export interface OpenedStore {
  store: InstallStore
  /** Closes what was opened, and nothing that someone else owns. */
  close (): Promise<void>
}
