import { FST_B24_CLOSING } from '../../errors.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import type { EmbeddedFolder } from './embedded-folder.ts'
import type { EmbeddedRun } from './embedded-run.ts'
import { EventRuns } from './event-runs.ts'
import type { EventAdmission } from './event-admission.ts'
import type { EventShelf } from './event-shelf.ts'
import type { StoredLetter, Process, WorkOptions } from '../queue.ts'
import type { Workbench } from './workbench.ts'
import type { WorkerLease } from './worker-lease.ts'

/** How often a worker looks for what other processes did, ms. */
const POLL_MS = 200
/** Events of those that came in that one change puts in line. */
const MOST_ADMITTED = 200
/** Events that one change puts back into the line, because their time has come. */
const MOST_RELEASED = 200

export interface EmbeddedWorkerParts {
  folder: EmbeddedFolder
  admission: EventAdmission
  shelf: EventShelf
  bench: Workbench
  lease: WorkerLease
  clock: () => number
  process: Process
  options: WorkOptions
  onError: (error: Error) => void
  onWarning: (problem: string) => void
}

/** What one change of the worker did. */
interface Turn {
  begun: EmbeddedRun[]
  settled: EmbeddedRun[]
  dead: StoredLetter[]
  /** Another worker has the lease. */
  isLost: boolean
  /** It gave a sign of life. */
  isBeat: boolean
}

/** Handles the events of the folder, as long as it has the lease. */
export class EmbeddedWorker {
  readonly #parts: EmbeddedWorkerParts
  readonly #runs: EventRuns
  #timer: NodeJS.Timeout
  #leads = false
  #isClosing = false
  #isOver = false
  #isTurning = false
  /** Settles when the last change is stored, or not, and told. */
  #turned: Promise<boolean> = Promise.resolve(true)
  /** There may be something new. */
  #isCalled = false
  /** The last change was not stored: what is in memory may miss something. */
  #hasFailed = false
  /** When the next held event is to be released, by the clock. */
  #due = Infinity
  #idle = (): void => {}

  constructor (parts: EmbeddedWorkerParts) {
    this.#parts = parts
    this.#runs = new EventRuns(parts.process, () => this.wake())
    this.#timer = setTimeout(() => this.#look(), 0).unref()
  }

  /** It has the lease, as far as it knows. */
  get leads (): boolean {
    return this.#leads
  }

  /** Resolves when nothing is on disk that it has not told yet. */
  async told (): Promise<void> {
    await this.#turned
  }

  /** Lets it look at what is new. */
  wake (): void {
    this.#isCalled = true
    // After a failure the timer tries again, not every new event.
    if (this.#leads && !this.#isTurning && !this.#hasFailed) this.#work()
  }

  /** Keeps how far a run got, unless the event was given to another worker. */
  async store (run: EmbeddedRun, record: string): Promise<void> {
    const { folder, lease } = this.#parts
    let isStored = false
    if (this.#runs.has(run)) {
      await folder.commits.writeInTime(() => {
        isStored = this.#runs.has(run) && lease.isMine()
        if (isStored) folder.tables.records.put(run.seq, record)
      })
    }
    if (!isStored) throw storeUnavailable(new Error('The event was given to another worker'))
  }

  /** Waits for what runs up to `timeoutMs`, then gives back the rest, and the lease. */
  async close (timeoutMs: number): Promise<void> {
    this.#isClosing = true
    if (this.#runs.all.size > 0 || this.#isTurning) await this.#untilIdle(timeoutMs)
    this.#isOver = true
    this.#runs.stop(new FST_B24_CLOSING())
    await withinDeadline(this.#turned.then(async () => await this.#handOver())).catch(error => this.#fail(error))
    clearTimeout(this.#timer)
  }

  async #untilIdle (timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#idle = resolve
      timer = setTimeout(resolve, timeoutMs)
    })
    clearTimeout(timer)
  }

  async #handOver (): Promise<void> {
    const { folder, bench, lease, options } = this.#parts
    const dead: StoredLetter[] = []
    await folder.commits.write(() => {
      if (!lease.isMine()) return
      dead.push(...bench.settle(this.#runs.outcomes))
      bench.giveBack(this.#runs.active)
      lease.release()
    })
    for (const letter of dead) options.onDead(letter)
  }

  /** Looks for what nobody tells it. */
  #look (): void {
    const { folder: { tables, journal }, lease, clock } = this.#parts
    try {
      this.#isCalled ||= tables.read(() => {
        tables.assertThere()
        return this.#leads
          ? this.#hasFailed || this.#due <= clock() || lease.isBeatDue || !tables.intake.isEmpty || !journal.isEmpty || !lease.isMine()
          : lease.isFree()
      })
    } catch (error) {
      this.#fail(error as Error)
    }
    if (this.#isTurning) return
    this.#work()
  }

  async #work (): Promise<void> {
    this.#isTurning = true
    let goesOn = this.#wants()
    while (goesOn) {
      this.#turned = this.#turn()
      goesOn = await this.#turned && this.#wants()
    }
    this.#isTurning = false
    if (this.#runs.all.size === 0) this.#idle()
    clearTimeout(this.#timer)
    const wait = this.#leads && !this.#hasFailed ? Math.min(this.#due - this.#parts.clock(), POLL_MS) : POLL_MS
    if (!this.#isOver) this.#timer = setTimeout(() => this.#look(), wait).unref()
  }

  #wants (): boolean {
    return !this.#isOver && (this.#isCalled || this.#runs.outcomes.size > 0 || (this.#free > 0 && this.#parts.bench.hasWaiting))
  }

  get #free (): number {
    return this.#isClosing ? 0 : this.#parts.options.concurrency - this.#runs.all.size + this.#runs.outcomes.size
  }

  /** One change. Returns whether it was stored. */
  async #turn (): Promise<boolean> {
    const { folder, bench, options } = this.#parts
    const turn: Turn = { begun: [], settled: [], dead: [], isLost: false, isBeat: false }
    try {
      await folder.commits.write(() => this.#change(turn))
    } catch (error) {
      this.#fail(error as Error)
      bench.rollback(this.#runs.all)
      return false
    }
    this.#hasFailed = false
    if (turn.isBeat) this.#tidy()
    this.#leads = !turn.isLost
    if (turn.isLost) return this.#lose()
    for (const run of turn.settled) this.#runs.delete(run)
    for (const run of turn.begun) this.#isClosing ? this.#runs.putBack(run) : this.#runs.start(run)
    for (const letter of turn.dead) options.onDead(letter)
    return true
  }

  #change (turn: Turn): void {
    const { admission, shelf, bench, lease } = this.#parts
    this.#isCalled = false
    if (!this.#leads && !this.#isClosing && lease.isFree()) turn.dead.push(...this.#take())
    turn.isLost = !lease.isMine()
    if (turn.isLost) return
    turn.isBeat = lease.isBeatDue
    if (turn.isBeat) this.#beat()
    if (this.#hasFailed) bench.load()
    turn.settled = [...this.#runs.outcomes.keys()]
    turn.dead.push(...bench.settle(this.#runs.outcomes))
    this.#isCalled = !this.#isClosing && admission.admit(MOST_ADMITTED)
    shelf.release(MOST_RELEASED)
    turn.begun = bench.begin(this.#free)
    this.#due = shelf.due
  }

  #beat (): void {
    const { folder, lease } = this.#parts
    lease.beat()
    folder.journal.forgetGone()
  }

  async #tidy (): Promise<void> {
    const { folder: { journal, tables }, onWarning } = this.#parts
    try {
      await tables.read(() => journal.tidy())
    } catch (error) {
      this.#fail(error as Error)
    }
    for (const problem of journal.takeProblems()) onWarning(problem)
  }

  #take (): StoredLetter[] {
    const { shelf, bench, lease } = this.#parts
    lease.take()
    const dead = shelf.recover().flatMap(seq => bench.revive(seq))
    bench.load()
    return dead
  }

  #lose (): false {
    this.#runs.drop(storeUnavailable(new Error('The events were given to another worker')))
    this.#parts.bench.clear()
    this.#parts.folder.journal.close()
    return false
  }

  /** Tells the first failure of an outage. */
  #fail (error: Error): void {
    if (!this.#hasFailed) this.#parts.onError(error)
    this.#hasFailed = true
  }
}
