import type { Test } from 'tap'
import { openRedisStorage } from '../../src/storage/redis/storage.ts'
import { openSqliteStorage } from '../../src/storage/sqlite/storage.ts'
import type { Storage, StorageSettings } from '../../src/storage/storage.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { startRedisCluster } from '../helpers/redis-cluster.ts'
import { startRedis } from '../helpers/redis-server.ts'

/** Opens what an app keeps; each call on the same place, which holds nothing at first. */
export type OpenStorage = (settings: StorageSettings) => Promise<Storage>

export interface Driver {
  name: string
  /** Makes a place for one test, which ends with it. */
  prepare (t: Test): Promise<OpenStorage>
}

/** What keeps the contracts of `src/storage`. */
export const DRIVERS: readonly Driver[] = [
  {
    name: 'Redis',
    async prepare (t) {
      const redis = await startRedis()
      t.teardown(() => redis.stop())
      return settings => openRedisStorage(redis.url, settings)
    }
  },
  {
    name: 'a Cluster of three nodes',
    async prepare (t) {
      const nodes = await startRedisCluster()
      const cluster = nodes.client()
      t.teardown(async () => {
        cluster.disconnect()
        await nodes.stop()
      })
      return settings => openRedisStorage(cluster, settings)
    }
  },
  {
    name: 'SQLite',
    async prepare (t) {
      const folder = temporaryFolder(t)
      return settings => openSqliteStorage(folder, settings)
    }
  }
]
