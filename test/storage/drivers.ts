import type { Test } from 'tap'
import type { Storage, StorageSettings } from '../../src/storage/storage.ts'

/** Opens what an app keeps; each call on the same place, which holds nothing at first. */
export type OpenStorage = (settings: StorageSettings) => Promise<Storage>

export interface Driver {
  name: string
  /** Makes a place for one test, which ends with it. */
  prepare (t: Test): Promise<OpenStorage>
}

/** What keeps the contracts of `src/storage`. */
export const DRIVERS: readonly Driver[] = []
