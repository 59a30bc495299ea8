import { join } from 'node:path'
import { SqliteDatabase } from '../../../src/storage/sqlite/database.ts'
import { prepareSchema } from '../../../src/storage/sqlite/schema.ts'

export const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

/** Opens the file of a storage in a folder that is there. */
export async function openDatabase (folder: string): Promise<SqliteDatabase> {
  return await SqliteDatabase.open(join(folder, 'storage.db'), prepareSchema)
}
