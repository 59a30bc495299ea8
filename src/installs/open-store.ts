import type { BoundedClient } from '../storage/redis/client.ts'
import { connectRedis, type RedisOption } from '../storage/redis/connect.ts'
import { storageOf } from '../storage/redis/connect-failure.ts'
import { openingStorage } from '../storage/unavailable.ts'
import { withinDeadline } from '../storage/within-deadline.ts'
import { appId } from '../storage/redis/keys.ts'
import { EmbeddedInstallStore } from './embedded-store.ts'
import { RedisInstallStore } from '../storage/redis/installs.ts'
import type { InstallStore, OpenedStore } from '../storage/install-store.ts'

export interface StoreChoice {
  clientId: string
  /** The app's own store; the app closes it. Redis is then opened for the events alone. */
  store?: InstallStore | undefined
  redis?: RedisOption | undefined
  dataDir: string
}

/**
 * Opens the store that the options ask for, and the client of Redis where they name one.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when it does not answer
 */
export async function openInstallStore ({ clientId, store, redis, dataDir }: StoreChoice, onError: (error: Error) => void, onReady?: () => void): Promise<OpenedStore & { client?: BoundedClient }> {
  const connect = async (option: RedisOption) => await openingStorage(storageOf({ redis: option, dataDir }), async () => await connectRedis(option, onError, undefined, onReady))
  if (store !== undefined) {
    const own = bounded(store)
    await openingStorage('store', async () => await own.get('-'))
    const connection = redis === undefined ? undefined : await connect(redis)
    return { store: own, ...(connection && { client: connection.client }), close: async () => await connection?.close() }
  }
  if (redis !== undefined) {
    const connection = await connect(redis)
    return { store: new RedisInstallStore(connection.client, appId(clientId)), client: connection.client, close: () => connection.close() }
  }
  const embedded = await openingStorage(storageOf({ dataDir }), async () => await EmbeddedInstallStore.open(dataDir, appId(clientId)))
  return { store: embedded, close: () => embedded.close() }
}

/** Whatever an own store does, a request is answered in time and with the right code. */
function bounded (store: InstallStore): InstallStore {
  return {
    get: memberId => withinDeadline(store.get(memberId)),
    swap: (memberId, version, next) => withinDeadline(store.swap(memberId, version, next)),
    scan: cursor => withinDeadline(store.scan(cursor))
  }
}
