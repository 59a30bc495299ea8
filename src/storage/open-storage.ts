import type { InstallStore } from './install-store.ts'
import { type RedisOption, storageOf } from './redis/connect.ts'
import { openRedisStorage } from './redis/storage.ts'
import { openSqliteStorage } from './sqlite/storage.ts'
import type { Storage, StorageSettings } from './storage.ts'
import { openingStorage, withinDeadline } from './unavailable.ts'

export interface StorageChoice {
  /** Custom install store; closed by the app, not by the plugin. */
  installStore?: InstallStore | undefined
  redis?: RedisOption | undefined
  /** Folder of the SQLite file; unused with `redis`. */
  dataDir: string
}

/**
 * Opens the storage that the options select. No other file knows which driver is used.
 *
 * @throws FST_B24_STORE_UNAVAILABLE if it does not answer; the message names the option and its address
 * @throws FST_B24_STORAGE_LAYOUT if an incompatible version of the plugin has written it
 */
export async function openStorage ({ installStore, redis, dataDir }: StorageChoice, settings: StorageSettings): Promise<Storage> {
  const own = installStore && withDeadlines(installStore)
  if (own !== undefined) await openingStorage('store', async () => await own.get('-'))
  const storage = await openingStorage(storageOf({ redis, dataDir }), async () => (
    redis === undefined ? await openSqliteStorage(dataDir, settings) : await openRedisStorage(redis, settings)
  ))
  return own === undefined ? storage : { ...storage, installs: own }
}

/** Adds a deadline and the error code to a custom store, so that requests are always answered in time. */
function withDeadlines (store: InstallStore): InstallStore {
  return {
    get: memberId => withinDeadline(store.get(memberId)),
    swap: (memberId, version, next) => withinDeadline(store.swap(memberId, version, next)),
    scan: cursor => withinDeadline(store.scan(cursor))
  }
}
