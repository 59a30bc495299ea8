import type { Database, RootDatabase } from 'lmdb'
import { openLmdb } from '../../embedded/lmdb.ts'
import { SameFile } from '../../embedded/same-file.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { EmbeddedIntake, type IntakeKey } from './embedded-intake.ts'

type Place<K> = [key: K, seq: number]
type Key = string | number | Place<string> | Place<number> | [lane: number, portal: string, seq: number] | IntakeKey

/** What the queue keeps in LMDB. What was put in `intake` becomes a record; the other tables say where that stands. */
export class EmbeddedTables {
  readonly root: RootDatabase<string, string>
  /** What goes before others, and what comes back, until the worker puts it in line. */
  readonly intake: EmbeddedIntake
  /** Where the worker is in what processes took in; see `EmbeddedJournal`. */
  readonly places: Database<string, string>
  /** `seq` → the event with its attempts. */
  readonly records: Database<string, number>
  /** [lane, portal, `seq`]: to be handled. */
  readonly waiting: Database<string, [lane: number, portal: string, seq: number]>
  /** [due, `seq`] → delay, ms: not before then. */
  readonly held: Database<string, Place<number>>
  /** [item, `seq`]: waits until no other event of its item runs. */
  readonly parked: Database<string, Place<string>>
  /** `seq`: given to the worker. */
  readonly running: Database<string, number>
  /** Repeat key → `seq` of the event that takes in repeats. */
  readonly repeats: Database<string, string>
  /** Number → a dead letter; the newest is last. */
  readonly dead: Database<string, number>
  /** Id → number of its dead letter. */
  readonly deadIds: Database<string, string>
  /** Counter, clock, and who works. */
  readonly meta: Database<string, string>
  readonly #file: SameFile
  #closed = false

  private constructor (root: RootDatabase<string, string>, file: SameFile) {
    this.#file = file
    const table = <K extends Key>(name: string): Database<string, K> =>
      root.openDB<string, K>({ name, encoding: 'string' })
    this.root = root
    this.intake = new EmbeddedIntake(table('intake'))
    this.places = table('places')
    this.records = table('records')
    this.waiting = table('waiting')
    this.held = table('held')
    this.parked = table('parked')
    this.running = table('running')
    this.repeats = table('repeats')
    this.dead = table('dead')
    this.deadIds = table('dead-ids')
    this.meta = table('meta')
  }

  /**
   * Opens `<dataDir>/<app>/queue`.
   * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
   */
  static async open (dataDir: string, app: string): Promise<EmbeddedTables> {
    const root = await openLmdb<string>(dataDir, app, 'queue', { encoding: 'string' })
    try {
      // One change, else each table would wait for the disk.
      return root.transactionSync(() => new EmbeddedTables(root, new SameFile(dataDir, app, 'queue')))
    } catch (error) {
      await root.close()
      throw storeUnavailable(error)
    }
  }

  get isClosed (): boolean {
    return this.#closed
  }

  /** @throws when the folder was deleted or replaced */
  assertThere (): void {
    this.#file.assertThere()
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  read<T> (read: () => T): T {
    // A read while lmdb closes would throw again later, from a timer where nobody can catch it.
    if (this.#closed) throw storeUnavailable(new Error('The queue is closed'))
    try {
      this.refresh()
      return read()
    } catch (error) {
      throw storeUnavailable(error)
    }
  }

  /** Has what is read from now on be of now: else it may be a millisecond old, and another process have changed it. */
  refresh (): void {
    this.root.resetReadTxn()
  }

  async close (): Promise<void> {
    this.#closed = true
    await this.root.close()
  }
}

/** First key of a range, or `undefined` when nothing is in it. */
export function firstKey<K extends Key> (table: Database<string, K>, start?: NoInfer<K>, end?: NoInfer<K>): K | undefined {
  const [key] = table.getKeys({ ...(start !== undefined && { start }), ...(end !== undefined && { end }), limit: 1 })
  return key
}

export function sizeOf (table: { getStats: () => object }): number {
  return (table.getStats() as { entryCount: number }).entryCount
}
