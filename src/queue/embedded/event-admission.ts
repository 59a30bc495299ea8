import type { EmbeddedFolder } from './embedded-folder.ts'
import type { EventKeys } from './embedded-keys.ts'
import { parseLine } from './embedded-lines.ts'
import { anew, recordText, type EventRecord } from './embedded-record.ts'
import type { EventShelf } from './event-shelf.ts'

/** Makes records of what was taken in, and puts them into the line. All of it happens inside of a change; see `EmbeddedCommits`. */
export class EventAdmission {
  readonly #folder: EmbeddedFolder
  readonly #shelf: EventShelf

  constructor (folder: EmbeddedFolder, shelf: EventShelf) {
    this.#folder = folder
    this.#shelf = shelf
  }

  /** Puts what was taken in into the line, until some `most` are. Returns whether there is more. */
  admit (most: number): boolean {
    let count = 0
    for (const lines of this.#newLines()) {
      for (const line of lines) this.#admitOne(line)
      count += lines.length
      if (count >= most) return true
    }
    return false
  }

  * #newLines (): Generator<string[]> {
    const { tables: { intake }, journal } = this.#folder
    for (let line = intake.take(); line !== undefined; line = intake.take()) yield [line]
    yield * journal.take()
  }

  /** Where a repeat of it waits already, that one becomes what came in now. */
  #admitOne (line: string): void {
    const { keys, event, replayed } = parseLine(line)
    const isAbsorbed = replayed === undefined ? this.#absorb(keys, 1, event) : this.#absorb(keys, replayed.coalesced)
    if (!isAbsorbed) this.#insert({ event, attempt: 0, coalesced: 1, ...replayed }, keys)
  }

  #insert (record: Omit<EventRecord, 'event'> & { event: string }, keys: EventKeys): void {
    const { tables: { records, repeats }, commits } = this.#folder
    const seq = commits.nextSeq()
    records.put(seq, recordText(record.event, record))
    if (keys.repeat !== undefined) repeats.put(keys.repeat, String(seq))
    this.#shelf.enqueue(seq, keys)
  }

  /** Lets an event that waits stand for `coalesced` more. Every handler has to see them, and what has failed is no matter of theirs. */
  #absorb ({ repeat }: EventKeys, coalesced: number, event?: string): boolean {
    if (repeat === undefined) return false
    const { records, repeats } = this.#folder.tables
    const seq = repeats.get(repeat)
    const record = seq && this.#shelf.record(Number(seq))
    if (!record) return false
    records.put(Number(seq), recordText(event ?? JSON.stringify(record.event), { ...anew(record), coalesced: record.coalesced + coalesced }))
    if (record.until !== undefined) this.#shelf.hasten(Number(seq), record.until)
    return true
  }
}
