import { connectRedis, type RedisOption } from '../redis/connect.ts'
import { appId } from '../redis/keys.ts'
import { EmbeddedInstallStore } from './embedded-store.ts'
import { RedisInstallStore } from './redis-store.ts'
import type { InstallStore } from './store.ts'

export interface StoreChoice {
  clientId: string
  /** The app's own store; it closes it too. */
  store?: InstallStore | undefined
  redis?: RedisOption | undefined
  dataDir: string
}

export interface OpenedStore {
  store: InstallStore
  /** Closes what was opened here, and nothing that the caller owns. */
  close (): Promise<void>
}

/**
 * Opens the store that the options ask for.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when it does not answer
 */
export async function openInstallStore ({ clientId, store, redis, dataDir }: StoreChoice, onError: (error: Error) => void): Promise<OpenedStore> {
  if (store !== undefined) return { store, close: async () => {} }
  if (redis !== undefined) {
    const connection = await connectRedis(redis, onError)
    return { store: new RedisInstallStore(connection.client, appId(clientId)), close: () => connection.close() }
  }
  const embedded = await EmbeddedInstallStore.open(dataDir, appId(clientId))
  return { store: embedded, close: () => embedded.close() }
}
