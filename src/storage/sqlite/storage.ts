import { join, resolve } from 'node:path'
import type { Storage, StorageSettings } from '../storage.ts'
import { storeUnavailable } from '../unavailable.ts'
import { SqliteDatabase } from './database.ts'
import { SqliteEvents } from './events.ts'
import { makePrivateFolder } from './database-file.ts'
import { SqliteInstallStore } from './installs.ts'
import { LocalLimits } from './call-rate-limits.ts'
import { SqliteLocks } from './locks.ts'
import { SqlitePendingInstalls } from './pending-installs.ts'
import { prepareSchema } from './schema.ts'

/**
 * Opens `<dataDir>/<app>/storage.db`, and makes what is missing of it for the owner's eyes alone. Any number of processes of one machine may share it; it
 * must be on a local disk.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when it cannot be made or written, or is damaged
 * @throws FST_B24_STORAGE_LAYOUT
 */
export async function openSqliteStorage (dataDir: string, { app, events }: StorageSettings): Promise<Storage> {
  const folder = resolve(dataDir)
  const db = await openDatabase(join(folder, app))
  return {
    installs: new SqliteInstallStore(db),
    pendingInstalls: new SqlitePendingInstalls(db),
    events: new SqliteEvents(db, events),
    limits: LocalLimits.of(folder),
    locks: new SqliteLocks(db),
    close: async () => await db.close()
  }
}

async function openDatabase (folder: string): Promise<SqliteDatabase> {
  try {
    makePrivateFolder(folder)
  } catch (error) {
    throw storeUnavailable(error)
  }
  return await SqliteDatabase.open(join(folder, 'storage.db'), prepareSchema)
}
