import { randomUUID } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { RootDatabase, RootDatabaseOptionsWithPath } from 'lmdb'
import { loadPackage } from '../load-package.ts'
import { storeUnavailable } from '../storage/unavailable.ts'

/** Bytes that a new database needs. */
const FIRST_PAGES = 16_384

/**
 * Opens `<dataDir>/<app>/<name>`, and makes what is missing of it for the owner's eyes alone (0700). A write of it resolves
 * when it is on disk, and rejects when it cannot get there; see `settle`.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
 */
export async function openLmdb<V> (
  dataDir: string, app: string, name: string, options: Omit<RootDatabaseOptionsWithPath, 'path'>
): Promise<RootDatabase<V, string>> {
  // `import` would read lmdb from a dozen files, `require` reads one: some 15 ms less at every start.
  const { open } = loadPackage<typeof import('lmdb')>('lmdb')
  try {
    const folder = join(dataDir, app)
    makeFolder(folder)
    // It may have been there, and open to others.
    chmodSync(folder, 0o700)
    assertSpace(folder)
    return open<V, string>({
      path: join(folder, name),
      noSubdir: false,
      overlappingSync: false,
      // With batching, lmdb makes a promise of its own for each commit; on a full disk it rejects unheard, and Node exits.
      eventTurnBatching: false,
      ...options
    })
  } catch (error) {
    throw storeUnavailable(error)
  }
}

/** Not `recursive`: below `/proc` Node would try for ever. */
function makeFolder (folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || existsSync(dirname(folder))) throw error
    makeFolder(dirname(folder))
    makeFolder(folder)
  }
}

/** LMDB ends the process where it cannot write its first pages. */
function assertSpace (folder: string): void {
  const file = join(folder, `space-${randomUUID()}`)
  try {
    writeFileSync(file, Buffer.alloc(FIRST_PAGES))
  } finally {
    rmSync(file, { force: true })
  }
}

/** Settles as a write of lmdb does, with the reason of a failed commit. */
export async function settle<T> (written: Promise<T>): Promise<T> {
  try {
    return await written
  } catch (error) {
    // The reason is in a second promise: Node exits if it rejects unheard, and at times it never settles.
    const commit = (error as { commitError?: Promise<never> }).commitError
    if (commit === undefined) throw error
    throw await Promise.race([commit.catch((reason: unknown) => reason), setImmediate(error)])
  }
}
