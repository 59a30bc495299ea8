import { FST_B24_CLOSING } from '../../errors.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import { EmbeddedDeadLetters } from './embedded-dead-letters.ts'
import { EmbeddedFolder } from './embedded-folder.ts'
import { FIRST } from './embedded-keys.ts'
import { lineOf } from './embedded-lines.ts'
import { sizeOf } from './embedded-tables.ts'
import { EmbeddedWorker } from './embedded-worker.ts'
import { EventAdmission } from './event-admission.ts'
import { EventShelf } from './event-shelf.ts'
import type { EventQueue, Process, QueueCounts, QueuedEvent, QueueSettings, WorkOptions } from '../queue.ts'
import { Workbench } from './workbench.ts'
import { WorkerLease } from './worker-lease.ts'

export interface EmbeddedQueueSettings extends QueueSettings {
  /** ms since the epoch. */
  now?: () => number
}

/**
 * Opens the queue in `<dataDir>/<app>/queue`. Any number of processes of one machine may share the folder: all of them add, one
 * of those that work does the work.
 *
 * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
 */
export async function openEmbeddedQueue (dataDir: string, app: string, settings: EmbeddedQueueSettings): Promise<EventQueue> {
  const folder = await EmbeddedFolder.open(dataDir, app)
  const queue = new EmbeddedQueue(folder, settings)
  try {
    await folder.commits.writeInTime(() => queue.deadLetters.prune())
    return queue
  } catch (error) {
    await queue.close(0)
    throw error
  }
}

/** Keeps events in a folder, with LMDB: nothing to run beside the app. */
class EmbeddedQueue implements EventQueue {
  readonly deadLetters: EmbeddedDeadLetters
  readonly #folder: EmbeddedFolder
  readonly #settings: EmbeddedQueueSettings
  readonly #shelf: EventShelf
  readonly #bench: Workbench
  readonly #lease: WorkerLease
  /** ms since the epoch at the start, then monotonic. */
  readonly #clock: () => number
  #worker: EmbeddedWorker | undefined
  #stopped: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor (folder: EmbeddedFolder, settings: EmbeddedQueueSettings) {
    const { now = Date.now } = settings
    const { tables, commits } = folder
    const startedAt = now() - performance.now()
    this.#clock = () => startedAt + performance.now()
    this.#folder = folder
    this.#settings = settings
    this.#lease = new WorkerLease(tables, settings.stalledAfterMs)
    this.#shelf = new EventShelf(tables, this.#clock, (lane, portal) => this.#bench.announce(lane, portal))
    this.deadLetters = new EmbeddedDeadLetters({ tables, commits, shelf: this.#shelf, settings, now })
    this.#bench = new Workbench({
      shelf: this.#shelf,
      dead: this.deadLetters,
      settings,
      store: async (run, record) => await this.#worker?.store(run, record)
    })
  }

  async add (event: QueuedEvent): Promise<void> {
    if (this.#closing !== undefined) throw new FST_B24_CLOSING()
    await this.#store(event)
    this.#worker?.wake()
  }

  work (process: Process, options: WorkOptions): void {
    this.#bench.open(options.concurrency)
    this.#worker = new EmbeddedWorker({
      folder: this.#folder,
      admission: new EventAdmission(this.#folder, this.#shelf),
      shelf: this.#shelf,
      bench: this.#bench,
      lease: this.#lease,
      clock: this.#clock,
      onError: this.#settings.onError,
      onWarning: this.#settings.onWarning ?? (() => {}),
      process,
      options
    })
  }

  async counts (): Promise<QueueCounts> {
    const { tables, journal } = this.#folder
    // What has changed is seen before it is told.
    if (this.#worker !== undefined) await withinDeadline(this.#worker.told())
    try {
      return tables.read(() => ({
        waiting: journal.count(() => tables.refresh()) + tables.intake.size + sizeOf(tables.waiting) + sizeOf(tables.held) + sizeOf(tables.parked),
        active: sizeOf(tables.running),
        dead: sizeOf(tables.dead)
      }))
    } finally {
      // Files that the worker removes would take their space until it is asked again.
      if (this.#worker?.leads !== true) journal.close()
    }
  }

  async stopWorking (timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#worker?.close(timeoutMs)
    await this.#stopped
  }

  async close (timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs)
    await this.#closing
  }

  #store (event: QueuedEvent): Promise<void> {
    const { tables, commits, writer } = this.#folder
    const line = lineOf(event)
    // It goes before all that is in the journal.
    return event.first === true ? commits.writeInTime(() => { tables.intake.put(FIRST, line) }) : writer.takeIn(line)
  }

  async #close (timeoutMs: number): Promise<void> {
    await this.stopWorking(timeoutMs)
    await withinDeadline(this.#folder.close()).catch(this.#settings.onError)
  }
}
