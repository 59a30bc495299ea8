import { closeSync, openSync, renameSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { countLines, isTornAt, readFrames, type Frame } from './frames.ts'
import { ACTIVE, SEALED, TORN, isOrphan } from './segment-name.ts'

/** A segment that was not written to for so long is shut, ms: its process may be of a container that nothing is known of. */
const QUIET_MS = 600_000

/** A file of the journal, as who reads it sees it. */
export class SegmentReader {
  readonly name: string
  readonly #path: string
  readonly #file: number
  #isSealed: boolean
  /** Where it ended when it was looked at, and since when that is so. */
  #quietAt = -1
  #quietSince = 0

  private constructor (path: string, name: string, file: number, isSealed: boolean) {
    this.name = name
    this.#path = path
    this.#file = file
    this.#isSealed = isSealed
  }

  /** `undefined` where it is not there any more. */
  static open (folder: string, name: string): SegmentReader | undefined {
    const path = join(folder, name)
    for (const suffix of [ACTIVE, SEALED]) {
      const file = openIfThere(path + suffix)
      if (file !== undefined) return new SegmentReader(path, name, file, suffix === SEALED)
    }
    return undefined
  }

  get isSealed (): boolean {
    return this.#isSealed
  }

  /** Notes under which name it was found. */
  see (isSealed: boolean): void {
    this.#isSealed ||= isSealed
  }

  framesFrom (place: number): Generator<Frame> {
    return readFrames(this.#file, place)
  }

  hasFrameAt (place: number): boolean {
    return this.framesFrom(place).next().done === false
  }

  countFrom (place: number): number {
    return countLines(this.#file, place)
  }

  /** Shuts it if its writer has ended or is quiet: one that lives finds out, and writes to another. */
  sealIfLeft (place: number): void {
    if (this.#isSealed) return
    const now = performance.now()
    if (place !== this.#quietAt) [this.#quietAt, this.#quietSince] = [place, now]
    if (!isOrphan(this.name) && now - this.#quietSince < QUIET_MS) return
    renameSync(this.#path + ACTIVE, this.#path + SEALED)
    this.#isSealed = true
  }

  /** Removes it, all up to a place having been read. What comes then and cannot be read is kept; returns the path of that file. */
  remove (place: number): string | undefined {
    const isTorn = isTornAt(this.#file, place)
    this.close()
    if (!isTorn) {
      unlinkSync(this.#path + SEALED)
      return undefined
    }
    renameSync(this.#path + SEALED, this.#path + TORN)
    return this.#path + TORN
  }

  close (): void {
    closeSync(this.#file)
  }
}

function openIfThere (path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
