import type { InstallStore } from './install-store.ts'
import type { RedisOption } from './redis/connect.ts'
import { storageOf } from './redis/connect-failure.ts'
import { openRedisStorage } from './redis/storage.ts'
import { openSqliteStorage } from './sqlite/storage.ts'
import type { Storage, StorageSettings } from './storage.ts'
import { openingStorage, withinDeadline } from './unavailable.ts'

export interface StorageChoice {
  /** The app's own store of installs; the app closes it. */
  installStore?: InstallStore | undefined
  redis?: RedisOption | undefined
  /** Folder of SQLite, where there is no `redis`. */
  dataDir: string
}

/**
 * Opens the storage that the options ask for. This is the one place that knows which driver it is.
 *
 * @throws FST_B24_STORE_UNAVAILABLE with the option and the place in its message, when it does not answer
 * @throws FST_B24_STORAGE_LAYOUT when another version of the plugin has written it
 */
export async function openStorage ({ installStore, redis, dataDir }: StorageChoice, settings: StorageSettings): Promise<Storage> {
  const own = installStore && bounded(installStore)
  if (own !== undefined) await openingStorage('store', async () => await own.get('-'))
  const storage = await openingStorage(storageOf({ redis, dataDir }), async () => (
    redis === undefined ? await openSqliteStorage(dataDir, settings) : await openRedisStorage(redis, settings)
  ))
  return own === undefined ? storage : { ...storage, installs: own, lock: storage.lock.bind(storage), close: storage.close.bind(storage) }
}

/** Whatever an own store does, a request is answered in time and with the right code. */
function bounded (store: InstallStore): InstallStore {
  return {
    get: memberId => withinDeadline(store.get(memberId)),
    swap: (memberId, version, next) => withinDeadline(store.swap(memberId, version, next)),
    scan: cursor => withinDeadline(store.scan(cursor))
  }
}
