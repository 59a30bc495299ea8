import { constants, statSync } from 'node:fs'
import { mkdir, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ACTIVE, SEALED, newSegmentName } from './segment-name.ts'
import { syncFolder } from './sync-folder.ts'

/** Some 1,700 events. */
const SEGMENT_BYTES = 2 ** 20

/** With it a write is on disk when it resolves, with one way into the thread pool. Elsewhere it would not reach the disk itself. */
const DSYNC = process.platform === 'linux' ? constants.O_DSYNC : 0

/**
 * A file of the journal that this process writes to. It has its full size from the start: to write over zeros that are there takes a disk
 * half as long as to make a file longer.
 */
export class SegmentWriter {
  readonly #path: string
  readonly #file: FileHandle
  readonly #inode: number
  readonly #bytes: number
  #end = 0

  private constructor (path: string, file: FileHandle, inode: number, bytes: number) {
    this.#path = path
    this.#file = file
    this.#inode = inode
    this.#bytes = bytes
  }

  /** Makes a segment with room for `atLeast` bytes. Rejects when it cannot be made, and leaves nothing of it. */
  static async create (folder: string, atLeast: number): Promise<SegmentWriter> {
    await makeFolder(folder)
    const path = join(folder, newSegmentName())
    const bytes = Math.max(SEGMENT_BYTES, atLeast)
    const file = await open(path + ACTIVE, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | DSYNC, 0o600)
    try {
      await writeAll(file, Buffer.alloc(bytes), 0)
      // Its name has to be on disk too.
      await syncFolder(folder)
      return new SegmentWriter(path, file, (await file.stat()).ino, bytes)
    } catch (error) {
      await file.close()
      await unlink(path + ACTIVE)
      throw error
    }
  }

  hasRoom (bytes: number): boolean {
    return this.#end + bytes <= this.#bytes
  }

  get isHalfFull (): boolean {
    return this.#end * 2 > this.#bytes
  }

  /** Writes behind what is there. Resolves when it is on disk; where it rejects, a part of it may be. */
  async write (bytes: Buffer): Promise<void> {
    await writeAll(this.#file, bytes, this.#end)
    this.#end += bytes.length
  }

  /** Whether what was written until now can be found: a worker shuts segments that were not written to for long. */
  isThere (): boolean {
    return statSync(this.#path + ACTIVE, { throwIfNoEntry: false })?.ino === this.#inode
  }

  /** Says that nothing more comes. What goes wrong does no harm: a worker will find out. */
  async seal (): Promise<void> {
    try {
      await this.#file.truncate(this.#end)
      await rename(this.#path + ACTIVE, this.#path + SEALED)
    } catch {
      // The disk is in trouble, or a worker was first.
    } finally {
      await this.#file.close().catch(() => {})
    }
  }
}

async function writeAll (file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
  if (DSYNC === 0) await file.datasync()
}

/** Makes the folder where it is missing; the one that it is in is there. */
async function makeFolder (folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 })
    await syncFolder(dirname(folder))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
