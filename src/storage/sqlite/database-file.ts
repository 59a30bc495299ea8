import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { storeUnavailable } from '../unavailable.ts'

/** Makes a folder for the owner's eyes alone (0700), and what is missing of those above. */
export function makePrivateFolder (folder: string): void {
  makeFolder(folder)
  // It may have been there, and open to others.
  chmodSync(folder, 0o700)
}

/** Makes a file for the owner's eyes alone (0600) where there is none. One that is there is not opened: closing it would end locks that this process has on it. */
export function makePrivateFile (file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    chmodSync(file, 0o600)
  }
}

/** Not `recursive`: below `/proc` Node would try for ever. */
function makeFolder (folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return
    if (code !== 'ENOENT' || existsSync(dirname(folder))) throw error
    makeFolder(dirname(folder))
    makeFolder(folder)
  }
}

/** Files that are open, as they were found: SQLite would go on writing to one that was deleted, and be content. */
export class OpenFiles {
  readonly #inodes: ReadonlyArray<readonly [file: string, inode: number]>

  /** @throws when one is not there */
  constructor (files: readonly string[]) {
    this.#inodes = files.map(file => [file, statSync(file).ino])
  }

  /** @throws when one was deleted or replaced since */
  assertThere (): void {
    for (const [file, inode] of this.#inodes) {
      if (statSync(file, { throwIfNoEntry: false })?.ino !== inode) throw Object.assign(new Error(`${file} was deleted or replaced while it was open: put it back, or start the process again`), { code: 'ESTALE' })
    }
  }
}

/** Whether another process has the file. */
export function isBusy (error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(codeOf(error))
}

/** Whether the file failed, and not what was asked for; also what `OpenFiles` throws. */
export function isOfTheFile (error: unknown): boolean {
  return /^(SQLITE_(FULL|IOERR|READONLY|CORRUPT|NOTADB|CANTOPEN|NOMEM|PERM)|E[A-Z]+$)/.test(codeOf(error))
}

/** Makes the error that a failure surfaces as: with a plain reason, and with what to do. An error of ours stays as it is. */
export function failureOf (error: unknown, path: string): Error {
  const code = codeOf(error)
  if (code.startsWith('FST_B24_')) return error as Error
  const { message } = error as Error
  if (isBusy(error)) return storeUnavailable(Object.assign(new Error(`Another process keeps ${path} locked`), { code }))
  if (/^SQLITE_(NOTADB|CORRUPT)/.test(code)) {
    return storeUnavailable(Object.assign(new Error(`${path} is damaged, or is no database (${message}): put a copy of it back, or move it away with its -wal and -shm, and begin with nothing`), { code }))
  }
  return storeUnavailable(error)
}

function codeOf (error: unknown): string {
  return String((error as NodeJS.ErrnoException).code)
}
