import type { Job, Worker } from 'bullmq'
import { FST_B24_CLOSING } from '../../errors.ts'
import { appKeys } from '../../storage/redis/keys.ts'
import { letterOf, attemptsOf, keepable } from './bull-letter.ts'
import { routeMoves } from './bull-moves.ts'
import type { BullParts } from './bull-parts.ts'
import { BullPlaces } from './bull-places.ts'
import { BullRun } from './bull-run.ts'
import { openSaves, type Save } from './bull-saves.ts'
import { ClockWatch } from './clock-watch.ts'
import { ItemLedger } from './item-ledger.ts'
import { openWorker } from './open-worker.ts'
import type { Outcome, Process, WorkOptions } from '../queue.ts'
import { settlesWithin } from '../../async/with-timeout.ts'
import { TurnMark } from './turn-mark.ts'

/** Waits of an event whose item is being handled, ms: doubled each time, from the first to the second. */
const ITEM_WAIT_MS = [50, 10_000] as const
/** Waits of an event whose portal has its share of the places, ms, should nobody call it back. */
const ASIDE_WAIT_MS = [15_000, 120_000] as const
/** What came of a run whose portal has no place for it. */
const SET_ASIDE: Outcome = { status: 'later', delayMs: 0 }
/** A worker looks after its runs and its clock at least so often, ms. */
const LONGEST_LOOK_MS = 1_000
/** Time that runs have to end after they were aborted, ms. */
const ABORT_MS = 250
/** Time that BullMQ has to close its connection when nothing runs, ms. */
const CLOSE_MS = 1_000

/** Handles the events of a BullMQ queue. */
export class BullWorker {
  readonly #parts: BullParts
  readonly #process: Process
  readonly #options: WorkOptions
  readonly #worker: Worker
  readonly #ledger: ItemLedger
  readonly #places: BullPlaces
  readonly #mark: TurnMark
  readonly #save: Save
  readonly #disconnect: () => void
  /** Not a `Set`, which costs as a `Map` does; see `JobNotes`. */
  readonly #runs: BullRun[] = []
  readonly #watch: NodeJS.Timeout
  #isClosing = false
  #isAborting = false
  #ended = () => {}

  /** `promote` brings back at once all that waits for its time. */
  constructor (parts: BullParts, process: Process, options: WorkOptions, promote: () => Promise<void>) {
    const { client, settings } = parts
    this.#parts = parts
    this.#process = process
    this.#options = options
    const { worker, disconnect } = openWorker(parts, options.concurrency, (job, token) => this.#handle(new BullRun(job, token as string, this.#ledger, this.#save)))
    this.#worker = worker
    this.#disconnect = disconnect
    this.#mark = new TurnMark(client, appKeys(parts.app).turn, worker.toKey('prioritized'))
    const backend = worker.getBackend()
    // It may have come by itself meanwhile.
    const queue = worker.toKey('')
    const call = async (jobId: string): Promise<unknown> => await backend.promote(jobId)
    this.#ledger = new ItemLedger(jobId => { call(jobId).catch(() => {}) })
    this.#places = new BullPlaces(options.concurrency, call)
    this.#save = openSaves(client, parts.scripts, queue)
    routeMoves(parts, queue, this.#ledger)
    this.#listen()
    const clock = new ClockWatch(() => { promote().catch(error => parts.outage.tell(error)) })
    this.#watch = setInterval(() => {
      this.#lookForLost()
      clock.look()
    }, Math.min(settings.stalledAfterMs / 4, LONGEST_LOOK_MS))
  }

  /** Begins nothing more, waits for what runs, aborts the rest, gives it back. Ends in time whatever Redis does. */
  async close (timeoutMs: number): Promise<void> {
    this.#isClosing = true
    this.#places.close()
    const closed = this.#worker.close()
    if (!await this.#allEnd(timeoutMs)) {
      this.#isAborting = true
      for (const run of this.#runs) run.abort.abort(new FST_B24_CLOSING())
      if (!await this.#allEnd(ABORT_MS)) for (const run of this.#runs) run.abandon()
    }
    if (!await settlesWithin(closed, CLOSE_MS)) {
      this.#disconnect()
      await settlesWithin(closed, CLOSE_MS)
    }
    clearInterval(this.#watch)
    this.#mark.stop()
  }

  async #handle (run: BullRun): Promise<void> {
    prepare(run.job, this.#parts.settings.attempts)
    this.#runs.push(run)
    try {
      await this.#settle(run, await run.unlessAbandoned(this.#attempt(run)))
    } finally {
      this.#runs.splice(this.#runs.indexOf(run), 1)
      if (run.hasPlace) this.#places.leave(run.portal)
      if (this.#runs.length === 0) this.#ended()
    }
  }

  async #attempt (run: BullRun): Promise<Outcome> {
    const { job } = run
    const { attempts } = this.#parts.settings
    if (!run.isFree) return { status: 'later', delayMs: waitOf(job, ITEM_WAIT_MS) }
    if (!this.#isClosing) run.hasPlace = this.#takesPlace(run) || await this.#waitsForPlace(run)
    if (this.#isClosing) return { status: 'later', delayMs: 0 }
    if (!run.hasPlace) return SET_ASIDE
    // BullMQ counts workers that died of a job apart from its failures.
    if (run.attempt > attempts) return { status: 'dead', error: new Error(job.stalledCounter > 0 ? 'No worker survived it' : 'It has had all its attempts') }
    if (job.priority > 0) this.#mark.reach(job.priority)
    try {
      return await this.#process(run)
    } catch (error) {
      return { status: 'failed', error: error as Error }
    }
  }

  #takesPlace ({ portal, isFirst }: BullRun): boolean {
    // An install may be of nobody.
    if (!isFirst) this.#places.see(portal)
    return this.#places.takeNow(portal)
  }

  async #waitsForPlace ({ portal, job }: BullRun): Promise<boolean> {
    return await this.#places.take(portal, job.id as string, job.attemptsStarted === 1)
  }

  /** Resolves for what is done; BullMQ learns the rest from what is thrown. */
  async #settle (run: BullRun, outcome: Outcome): Promise<void> {
    const { DelayedError, UnrecoverableError } = this.#parts.bull
    if (run.isLost) throw new DelayedError()
    if (outcome === SET_ASIDE) {
      await this.#postpone(run, waitOf(run.job, ASIDE_WAIT_MS))
      this.#places.setAside(run.portal, run.job.id as string)
      throw new DelayedError()
    }
    if (outcome.status === 'done') return
    if (outcome.status === 'later' || (outcome.status === 'failed' && this.#isAborting)) {
      await this.#postpone(run, outcome.status === 'later' ? outcome.delayMs : 0)
      throw new DelayedError()
    }
    const { coalesced, progress } = run
    const kept = keepable(outcome.error, { attempts: Math.min(run.attempt, this.#parts.settings.attempts), coalesced, progress })
    throw outcome.status === 'failed' ? kept : Object.assign(new UnrecoverableError(kept.message), { stack: kept.stack })
  }

  /** Gives a job back, not counted as an attempt. What cannot be given back is found by BullMQ when its lock lapses. */
  async #postpone (run: BullRun, delayMs: number): Promise<void> {
    try {
      // Not moveToWait: it wakes nobody up.
      await run.job.moveToDelayed(Date.now() + delayMs, run.token)
    } catch (error) {
      this.#parts.outage.tell(error)
    }
  }

  #listen (): void {
    const { outage } = this.#parts
    this.#worker.on('error', error => { if (!this.#isClosing) outage.tell(error) })
    this.#worker.on('drained', () => this.#mark.empty())
    this.#worker.on('completed', () => outage.over())
    this.#worker.on('failed', (failed) => {
      // By its types BullMQ may have none; it always has.
      const job = failed as Job
      if (job.finishedOn !== undefined) this.#options.onDead(letterOf(job))
    })
    this.#worker.on('locksRenewed', ({ jobIds }) => {
      for (const run of this.#runs) if (jobIds.includes(run.job.id as string)) run.renewedAt = performance.now()
    })
    this.#worker.on('lockRenewalFailed', (ids) => {
      for (const run of this.#runs) if (ids.includes(run.job.id as string)) this.#lose(run)
    })
  }

  /** A worker that is cut off from Redis is told by nobody that its locks have lapsed. */
  #lookForLost (): void {
    const lapsed = performance.now() - this.#parts.settings.stalledAfterMs
    for (const run of this.#runs) if (run.renewedAt < lapsed) this.#lose(run)
  }

  #lose (run: BullRun): void {
    run.isLost = true
    run.abort.abort(new Error('The event was given to another worker'))
  }

  #allEnd (ms: number): Promise<boolean> {
    const end = new Promise<void>(resolve => { this.#ended = resolve })
    if (this.#runs.length === 0) this.#ended()
    return settlesWithin(end, ms)
  }
}

/** Puts in the place of what a job was added with, and of what strangers want, how jobs are handled now. */
function prepare (job: Job, attempts: number): void {
  job.opts.attempts = attempts - job.stalledCounter
  job.opts.backoff = { type: 'b24' }
  delete job.opts.removeOnComplete
  delete job.opts.removeOnFail
  // One trace is enough: each has all that is known.
  job.stacktrace = []
}

/** The more often it had to wait, the longer it waits. */
function waitOf (job: Job, [shortest, longest]: readonly [number, number]): number {
  const uncounted = job.attemptsStarted - attemptsOf(job)
  return Math.min(shortest * 2 ** (uncounted - 1), longest)
}
