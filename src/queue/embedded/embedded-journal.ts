import type { Database } from 'lmdb'
import { JournalReader } from '../journal/journal-reader.ts'
import type { SegmentReader } from '../journal/segment-reader.ts'
import { syncFolder } from '../journal/sync-folder.ts'

/**
 * What processes took in, until the worker puts it in line. How far it has come is stored with what it put there: nothing is missed,
 * and nothing comes twice.
 */
export class EmbeddedJournal {
  readonly #folder: string
  readonly #reader: JournalReader
  /** Name of a segment → place of the first frame that was not taken out. */
  readonly #places: Database<string, string>
  /** Segments that are gone, and known to be after a power failure too. */
  #gone: string[] = []
  /** What was told of, not to be told again; what is to be. */
  readonly #told = new Set<string>()
  #problems: string[] = []

  constructor (folder: string, places: Database<string, string>) {
    this.#folder = folder
    this.#reader = new JournalReader(folder)
    this.#places = places
  }

  /** Takes lines out, those of one frame at once, of the oldest segment first; inside of a change. */
  * take (): Generator<string[]> {
    for (const segment of this.#reader.look()) yield * this.#takeFrom(segment)
  }

  get isEmpty (): boolean {
    return this.#reader.look().every(segment => this.#tried(segment, () => !segment.hasFrameAt(this.#placeIn(segment)), true))
  }

  /** How many lines were not taken out. They are where they can be read before it is asked what was taken out: none is missed by who reads more. */
  count (readPlaces: () => void): number {
    const segments = this.#reader.look()
    for (const segment of segments) this.#tried(segment, () => segment.open(), undefined)
    readPlaces()
    return segments.reduce((count, segment) => count + this.#tried(segment, () => segment.countFrom(this.#placeIn(segment)), 0), 0)
  }

  /**
   * Removes what was taken out, and shuts segments whose processes have left. Not inside of a change: what that took out may come back.
   * All that was taken out of a segment that is shut stays so, whoever works.
   */
  async tidy (): Promise<void> {
    const segments = this.#reader.look()
    for (const segment of segments) this.#tried(segment, () => this.#removeIfRead(segment), undefined)
    const there = new Set(this.#reader.look().map(({ name }) => name))
    const gone = [...this.#places.getKeys()].filter(name => !there.has(name))
    if (gone.length === 0) return
    await syncFolder(this.#folder)
    this.#gone = gone
  }

  /** Forgets the places in segments that are gone; inside of a change. Earlier, a file that came back would be read again. */
  forgetGone (): void {
    for (const name of this.#gone.splice(0)) this.#places.remove(name)
  }

  /** What has gone wrong since it was asked last. */
  takeProblems (): string[] {
    return this.#problems.splice(0)
  }

  /** Lets go of the files, for who does not read on. */
  close (): void {
    this.#reader.close()
  }

  * #takeFrom (segment: SegmentReader): Generator<string[]> {
    const from = this.#placeIn(segment)
    const frames = segment.framesFrom(from)
    let place = from
    try {
      for (let next = this.#nextOf(segment, frames); next !== undefined; next = this.#nextOf(segment, frames)) {
        place = next.end
        yield next.lines
      }
    } finally {
      if (place > from) this.#places.put(segment.name, String(place))
    }
  }

  #nextOf<T> (segment: SegmentReader, frames: Generator<T>): T | undefined {
    return this.#tried(segment, () => frames.next().value as T | undefined, undefined)
  }

  #removeIfRead (segment: SegmentReader): void {
    const place = this.#placeIn(segment)
    if (segment.hasFrameAt(place)) return
    segment.sealIfLeft(place)
    // Before it was shut, something may have come.
    if (!segment.isSealed || segment.hasFrameAt(place)) return
    const kept = segment.remove(place)
    if (kept !== undefined) this.#problems.push(`${kept} ends with something that cannot be read: a process died while it wrote, or the disk failed. It is kept for who misses an event`)
  }

  /** A file that cannot be read keeps nothing back but what is in it. */
  #tried<T> (segment: SegmentReader, use: () => T, otherwise: T): T {
    try {
      return use()
    } catch (error) {
      if (!this.#told.has(segment.name)) this.#problems.push(`${segment.path} cannot be used, so that events in it wait: ${(error as Error).message}`)
      this.#told.add(segment.name)
      return otherwise
    }
  }

  #placeIn ({ name }: SegmentReader): number {
    return Number(this.#places.get(name) ?? 0)
  }
}
