import type { Database } from 'lmdb'
import { JournalReader } from '../journal/journal-reader.ts'
import type { SegmentReader } from '../journal/segment-reader.ts'

/**
 * What processes took in, until the worker puts it in line. How far it has come is stored with what it put there: nothing is missed,
 * and nothing comes twice.
 */
export class EmbeddedJournal {
  readonly #reader: JournalReader
  /** Name of a segment → place of the first frame that was not taken out. */
  readonly #places: Database<string, string>

  constructor (folder: string, places: Database<string, string>) {
    this.#reader = new JournalReader(folder)
    this.#places = places
  }

  /** Takes lines out, those of one frame at once, of the oldest segment first; inside of a change. */
  * take (): Generator<string[]> {
    for (const segment of this.#reader.look()) {
      const from = this.#placeIn(segment)
      let place = from
      try {
        for (const { lines, end } of segment.framesFrom(from)) {
          place = end
          yield lines
        }
      } finally {
        if (place > from) this.#places.put(segment.name, String(place))
      }
    }
  }

  get isEmpty (): boolean {
    return this.#reader.look().every(segment => !segment.hasFrameAt(this.#placeIn(segment)))
  }

  /**
   * Counts what was not taken out, and reads what goes with it. In this order: what is taken out meanwhile is where `read` finds it.
   */
  count (): () => number {
    const segments = this.#reader.look()
    return () => segments.reduce((count, segment) => count + segment.countFrom(this.#placeIn(segment)), 0)
  }

  /** Removes what was taken out by changes before this one, and shuts segments whose processes have left. Warns of what cannot be read. */
  tidy (warn: (problem: string) => void): void {
    for (const segment of this.#reader.look()) {
      const place = this.#placeIn(segment)
      segment.sealIfLeft(place)
      if (!segment.isSealed || segment.hasFrameAt(place)) continue
      this.#places.remove(segment.name)
      const kept = this.#reader.remove(segment, place)
      if (kept !== undefined) warn(`${kept} ends with something that cannot be read: a process died while it wrote, or the disk failed. It is kept for who misses an event`)
    }
  }

  close (): void {
    this.#reader.close()
  }

  #placeIn ({ name }: SegmentReader): number {
    return Number(this.#places.get(name) ?? 0)
  }
}
