import { open } from 'node:fs/promises'

/** Where a folder cannot be synced, which some systems do not know, names are kept without that. */
const NO_SUCH_THING = new Set(['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR', 'EACCES', 'EBADF'])

/** Has the names of the files in a folder on disk, or that they are gone. */
export async function syncFolder (folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } catch (error) {
    if (!NO_SUCH_THING.has(String((error as NodeJS.ErrnoException).code))) throw error
  } finally {
    await handle.close()
  }
}
