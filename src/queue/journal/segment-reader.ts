import { closeSync, openSync, renameSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { countLines, isTornAt, readFrames, type Frame } from './frames.ts'
import { ACTIVE, SEALED, TORN, isOrphan } from './segment-name.ts'

/** A segment that was not written to for so long is shut, ms: its process may be of a container that nothing is known of. */
const QUIET_MS = 600_000

/** A file of the journal, as who reads it sees it. What reads it throws where it is there and cannot be read. */
export class SegmentReader {
  readonly name: string
  readonly #path: string
  #isSealed = false
  #file: number | undefined
  /** Lines that came after a place when they were counted; of a sealed segment they stay as many. */
  #counted: { place: number, lines: number } | undefined
  /** Where it ended when it was looked at, and since when that is so. */
  #quietAt = -1
  #quietSince = 0

  constructor (folder: string, name: string) {
    this.name = name
    this.#path = join(folder, name)
  }

  get path (): string {
    return this.#path + (this.#isSealed ? SEALED : ACTIVE)
  }

  get isSealed (): boolean {
    return this.#isSealed
  }

  /** Notes under which name it was found. */
  see (isSealed: boolean): void {
    this.#isSealed ||= isSealed
  }

  /** Opens it, so that it can be read whatever becomes of it. */
  open (): void {
    this.#file ??= openIfThere(this.#path + ACTIVE) ?? openIfThere(this.#path + SEALED)
  }

  * framesFrom (place: number): Generator<Frame> {
    this.open()
    if (this.#file !== undefined) yield * readFrames(this.#file, place)
  }

  hasFrameAt (place: number): boolean {
    return this.framesFrom(place).next().done === false
  }

  countFrom (place: number): number {
    if (this.#isSealed && this.#counted?.place === place) return this.#counted.lines
    this.open()
    const lines = this.#file === undefined ? 0 : countLines(this.#file, place)
    this.#counted = { place, lines }
    return lines
  }

  /** Shuts it if its writer has ended or is quiet: one that lives finds out, and writes again to another. */
  sealIfLeft (place: number): void {
    if (this.#isSealed) return
    const now = performance.now()
    if (place !== this.#quietAt) [this.#quietAt, this.#quietSince] = [place, now]
    if (isOrphan(this.name) || now - this.#quietSince >= QUIET_MS) this.#isSealed = moveIfThere(this.#path + ACTIVE, this.#path + SEALED)
  }

  /** Removes it, all up to a place having been read. What comes then and cannot be read is kept; returns the path of that file. */
  remove (place: number): string | undefined {
    this.open()
    const isTorn = this.#file !== undefined && isTornAt(this.#file, place)
    this.close()
    if (isTorn && moveIfThere(this.path, this.#path + TORN)) return this.#path + TORN
    if (!isTorn) unlinkSync(this.path)
    return undefined
  }

  close (): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}

function openIfThere (path: string): number | undefined {
  return ifThere(() => openSync(path, 'r'))
}

function moveIfThere (from: string, to: string): boolean {
  return ifThere(() => {
    renameSync(from, to)
    return true
  }) ?? false
}

function ifThere<T> (use: () => T): T | undefined {
  try {
    return use()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
