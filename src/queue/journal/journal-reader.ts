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
    const found = new Map<string, SegmentReader>()
    for (const file of filesIn(this.#folder)) {
      const isSealed = file.endsWith(SEALED)
      if (!isSealed && !file.endsWith(ACTIVE)) continue
      const name = file.slice(0, file.lastIndexOf('.'))
      const segment = this.#segments.get(name) ?? new SegmentReader(this.#folder, name)
      segment.see(isSealed)
      found.set(name, segment)
    }
    for (const [name, segment] of this.#segments) if (!found.has(name)) segment.close()
    this.#segments = found
    return [...found.values()]
  }

  /** Lets go of the files, for who does not read on. */
  close (): void {
    for (const segment of this.#segments.values()) segment.close()
  }
}

function filesIn (folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
