import { readdirSync } from 'node:fs'
import { ACTIVE, SEALED } from './segment-name.ts'
import { SegmentReader } from './segment-reader.ts'

/** The segments of all processes, oldest first. */
export class JournalReader {
  readonly #folder: string
  #segments = new Map<string, SegmentReader>()

  constructor (folder: string) {
    this.#folder = folder
  }

  /** Looks which segments there are. */
  look (): SegmentReader[] {
    const before = this.#segments
    this.#segments = new Map()
    for (const file of this.#files()) {
      const isSealed = file.endsWith(SEALED)
      if (!isSealed && !file.endsWith(ACTIVE)) continue
      const name = file.slice(0, file.lastIndexOf('.'))
      const segment = before.get(name) ?? SegmentReader.open(this.#folder, name)
      before.delete(name)
      if (segment === undefined) continue
      segment.see(isSealed)
      this.#segments.set(name, segment)
    }
    for (const gone of before.values()) gone.close()
    return [...this.#segments.values()]
  }

  /** Removes a segment; see there. */
  remove (segment: SegmentReader, place: number): string | undefined {
    this.#segments.delete(segment.name)
    return segment.remove(place)
  }

  close (): void {
    for (const segment of this.#segments.values()) segment.close()
    this.#segments.clear()
  }

  #files (): string[] {
    try {
      return readdirSync(this.#folder).sort()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }
}
