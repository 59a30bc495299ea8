import { FST_B24_INVALID_CURSOR } from '../../errors.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { PAGE, pageOf, placesOf } from '../dead-letter-page.ts'
import type { EmbeddedCommits } from './embedded-commits.ts'
import { keyOf } from './embedded-keys.ts'
import { asRecord, parseJson, type EventRecord } from './embedded-record.ts'
import { sizeOf, type EmbeddedTables } from './embedded-tables.ts'
import type { EventShelf } from './event-shelf.ts'
import type { StoredLetter, DeadLetterBox, LetterFilter, DeadLetterPage, QueuedEvent, QueueSettings } from '../queue.ts'

interface Death {
  id: string
  failedAt: number
  error: { message: string, code?: string }
  record: EventRecord
}

export interface EmbeddedDeadLettersParts {
  tables: EmbeddedTables
  commits: EmbeddedCommits
  shelf: EventShelf
  settings: Pick<QueueSettings, 'deadLetters'>
  now: () => number
}

export class EmbeddedDeadLetters implements DeadLetterBox {
  readonly #parts: EmbeddedDeadLettersParts

  constructor (parts: EmbeddedDeadLettersParts) {
    this.#parts = parts
  }

  async list (filter?: LetterFilter, cursor?: string, limit = PAGE): Promise<DeadLetterPage> {
    const { tables } = this.#parts
    if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) throw new FST_B24_INVALID_CURSOR()
    const before = cursor === undefined ? {} : { start: Number(cursor) - 1 }
    const entries = tables.read(() => [...tables.dead.getRange({ ...before, reverse: true, limit: placesOf(filter, limit) })])
    return pageOf(entries.map(({ key, value }) => ({ cursor: String(key), letter: letterOf(parseDeath(key, value)) })), filter, limit)
  }

  async get (id: string): Promise<StoredLetter | undefined> {
    const death = this.#parts.tables.read(() => this.#find(id)?.death)
    return death && letterOf(death)
  }

  async replay (id: string): Promise<boolean> {
    return await this.#take(id, ({ record }) => this.#parts.shelf.replay(record))
  }

  async discard (id: string): Promise<boolean> {
    return await this.#take(id, () => {})
  }

  /** Makes a dead letter of an event that was begun; inside of a change. */
  bury (seq: number, record: EventRecord, error: Death['error']): StoredLetter {
    const { tables, shelf, commits, now } = this.#parts
    const { id } = (record.event ?? {}) as Partial<QueuedEvent>
    const death: Death = { id: typeof id === 'string' ? id : `unknown-${seq}`, failedAt: Math.round(now()), error, record }
    const number = commits.nextSeq()
    const earlier = this.#find(death.id)
    if (earlier !== undefined) tables.dead.remove(earlier.number)
    tables.dead.put(number, JSON.stringify(death))
    tables.deadIds.put(keyOf([death.id]), String(number))
    shelf.finish(seq)
    this.prune()
    return letterOf(death)
  }

  /** Removes what is too old or too many; inside of a change. */
  prune (): void {
    const { tables: { dead }, settings: { deadLetters: { maxAgeMs, maxCount } }, now } = this.#parts
    const excess = sizeOf(dead) - maxCount
    if (excess > 0) for (const { key, value } of [...dead.getRange({ limit: excess })]) this.#remove(key, parseDeath(key, value))
    const oldest = now() - maxAgeMs
    let [entry] = dead.getRange({ limit: 1 })
    while (entry !== undefined) {
      const death = parseDeath(entry.key, entry.value)
      if (death.failedAt >= oldest) return
      this.#remove(entry.key, death);
      [entry] = dead.getRange({ limit: 1 })
    }
  }

  async #take (id: string, take: (death: Death) => void): Promise<boolean> {
    const { tables, commits } = this.#parts
    if (tables.isClosed) throw storeUnavailable(new Error('The queue is closed'))
    let isTaken = false
    await commits.writeInTime(() => {
      const found = this.#find(id)
      if (found === undefined) return
      isTaken = true
      this.#remove(found.number, found.death)
      take(found.death)
    })
    return isTaken
  }

  #find (id: string): { number: number, death: Death } | undefined {
    const { tables } = this.#parts
    const number = Number(tables.deadIds.get(keyOf([id])) ?? 0)
    const text = tables.dead.get(number)
    return text === undefined ? undefined : { number, death: parseDeath(number, text) }
  }

  #remove (number: number, { id }: Death): void {
    const { tables } = this.#parts
    tables.dead.remove(number)
    tables.deadIds.remove(keyOf([id]))
  }
}

/** What is no dead letter of ours has what can be read of it. */
function parseDeath (number: number, text: string): Death {
  const { id, failedAt, error, record } = (parseJson(text) ?? {}) as Partial<Death>
  return {
    id: id ?? `unknown-${number}`,
    failedAt: failedAt ?? 0,
    error: error ?? { message: '' },
    record: asRecord(record) ?? { event: text, attempt: 0, coalesced: 1 }
  }
}

function letterOf ({ id, failedAt, error, record: { event, attempt, coalesced } }: Death): StoredLetter {
  const { memberId, code, receivedAt, id: eventId } = (event ?? {}) as Partial<QueuedEvent>
  return {
    id,
    memberId: typeof memberId === 'string' ? memberId : '',
    code: typeof code === 'string' ? code : '',
    receivedAt: typeof receivedAt === 'number' ? receivedAt : failedAt,
    failedAt,
    attempts: attempt,
    coalesced,
    error,
    ...(eventId === id && { event: event as QueuedEvent })
  }
}
