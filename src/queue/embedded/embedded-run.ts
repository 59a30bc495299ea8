import { LazyAbortController } from '../../async/abort.ts'
import type { EventKeys } from './embedded-keys.ts'
import { recordText, type EventRecord } from './embedded-record.ts'
import type { Run } from '../queue.ts'

type Store = (run: EmbeddedRun, record: string) => Promise<void>

/** One attempt at an event of the folder. */
export class EmbeddedRun implements Run {
  readonly seq: number
  readonly keys: EventKeys
  readonly abort = new LazyAbortController()
  readonly #store: Store
  #record: EventRecord

  constructor (seq: number, keys: EventKeys, record: EventRecord, store: Store) {
    this.seq = seq
    this.keys = keys
    this.#record = record
    this.#store = store
  }

  /** As it would be put back now. */
  get record (): EventRecord {
    return this.#record
  }

  get event (): unknown {
    return this.#record.event
  }

  get attempt (): number {
    return this.#record.attempt + 1
  }

  get coalesced (): number {
    return this.#record.coalesced
  }

  get progress (): unknown {
    return this.#record.progress
  }

  get isAborted (): boolean {
    return this.abort.isAborted
  }

  get signal (): AbortSignal {
    return this.abort.signal
  }

  save = async (progress: unknown): Promise<void> => {
    const record = { ...this.#record, progress }
    await this.#store(this, recordText(JSON.stringify(record.event), record))
    this.#record = record
  }
}
