import { setImmediate } from 'node:timers/promises'
import { withinDeadline } from '../../storage/within-deadline.ts'
import { framesOf } from './frames.ts'
import { SegmentWriter } from './segment-writer.ts'

/** How long a group waits for more of a burst, ms. */
const GATHER_MS = 2

/** Lines that are written as one. */
interface Group {
  lines: string[]
  /** Nobody waits for it any more. */
  isLate: boolean
  /** Settles when the lines are on disk, or not known to be in time. */
  answered: Promise<void>
}

/**
 * Takes lines in at the least cost: to a file of this process alone, so that no process waits for another. What comes while a write is
 * under way goes with the next one.
 */
export class JournalWriter {
  readonly #folder: string
  readonly #assertThere: () => void
  #segment: SegmentWriter | undefined
  /** Takes over when the segment is full: to make one takes as long as a dozen writes. */
  #ahead: Promise<SegmentWriter | undefined> | undefined
  #open: Group | undefined
  #last: Promise<unknown> = Promise.resolve()
  /** How many lines the last group had. */
  #lastCount = 0

  /** `assertThere` throws when a new segment would be in another place than what else is stored. */
  constructor (folder: string, assertThere: () => void) {
    this.#folder = folder
    this.#assertThere = assertThere
  }

  /**
   * Resolves when the line is on disk.
   * @throws FST_B24_STORE_UNAVAILABLE when it is not known to be there in time
   */
  takeIn (line: string): Promise<void> {
    const group = this.#open ??= this.#newGroup()
    // Lines would pile up while the disk is stuck.
    if (!group.isLate) group.lines.push(line)
    return group.answered
  }

  /** Ends the segment, after all that is under way. */
  async close (): Promise<void> {
    await this.#last
    await this.#leave()
    await (await this.#ahead)?.seal()
  }

  #newGroup (): Group {
    const written = this.#last.then(() => this.#writeGroup(group))
    this.#last = written.catch(() => {})
    const answered = withinDeadline(written).catch((error: unknown) => {
      group.isLate = true
      group.lines = []
      throw error
    })
    const group: Group = { lines: [], isLate: false, answered }
    return group
  }

  async #writeGroup (group: Group): Promise<void> {
    await this.#gather(group)
    this.#open = undefined
    if (group.lines.length > 0) await this.#write(framesOf(group.lines))
  }

  /** Waits until a turn of the loop brings nothing more, in a burst for half as many as last: a write costs as much as several requests. */
  async #gather (group: Group): Promise<void> {
    const end = performance.now() + GATHER_MS
    let [before, count] = [0, group.lines.length]
    const mayGrow = (): boolean => count > before || count * 2 < this.#lastCount
    while (mayGrow() && performance.now() < end) {
      await setImmediate();
      [before, count] = [count, group.lines.length]
    }
    this.#lastCount = count
  }

  async #write (frames: Buffer): Promise<void> {
    for (let tries = 0; tries < 2; tries++) {
      const segment = await this.#segmentFor(frames.length)
      try {
        await segment.write(frames)
        if (segment.isThere()) return
      } catch (error) {
        await this.#leave()
        throw error
      }
      await this.#leave()
    }
    throw new Error('The segment is not where it was made')
  }

  async #segmentFor (bytes: number): Promise<SegmentWriter> {
    if (this.#segment?.hasRoom(bytes) === false) await this.#leave()
    this.#segment ??= await this.#nextSegment(bytes)
    if (this.#segment.isHalfFull) this.#ahead ??= this.#newSegment().catch(() => undefined)
    return this.#segment
  }

  async #nextSegment (bytes: number): Promise<SegmentWriter> {
    const ahead = await this.#ahead
    this.#ahead = undefined
    if (ahead?.hasRoom(bytes) === true && ahead.isThere()) return ahead
    await ahead?.seal()
    return await this.#newSegment(bytes)
  }

  async #newSegment (atLeast = 0): Promise<SegmentWriter> {
    this.#assertThere()
    return await SegmentWriter.create(this.#folder, atLeast)
  }

  async #leave (): Promise<void> {
    const segment = this.#segment
    this.#segment = undefined
    await segment?.seal()
  }
}
