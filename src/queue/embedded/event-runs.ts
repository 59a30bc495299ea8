import type { EmbeddedRun } from './embedded-run.ts'
import type { Outcome, Process } from '../queue.ts'

/** Runs of a worker, from their beginning until their outcomes are stored. */
export class EventRuns {
  readonly #process: Process
  /** Told when a run has an outcome. */
  readonly #onOutcome: () => void
  readonly #all = new Set<EmbeddedRun>()
  readonly #outcomes = new Map<EmbeddedRun, Outcome>()
  #isOver = false

  constructor (process: Process, onOutcome: () => void) {
    this.#process = process
    this.#onOutcome = onOutcome
  }

  get all (): ReadonlySet<EmbeddedRun> {
    return this.#all
  }

  /** Outcomes that are to be stored. */
  get outcomes (): ReadonlyMap<EmbeddedRun, Outcome> {
    return this.#outcomes
  }

  /** Those that have no outcome yet. */
  get active (): EmbeddedRun[] {
    return [...this.#all].filter(run => !this.#outcomes.has(run))
  }

  /** Whether the outcome of a run still counts. */
  has (run: EmbeddedRun): boolean {
    return !this.#isOver && this.#all.has(run)
  }

  /** Notes a run that is not to start any more. */
  putBack (run: EmbeddedRun): void {
    this.#all.add(run)
    this.#outcomes.set(run, { status: 'later', delayMs: 0 })
  }

  async start (run: EmbeddedRun): Promise<void> {
    this.#all.add(run)
    const outcome = await this.#outcomeOf(run)
    if (!this.has(run)) return
    this.#outcomes.set(run, outcome)
    this.#onOutcome()
  }

  /** Forgets a run whose outcome is stored. */
  delete (run: EmbeddedRun): void {
    this.#all.delete(run)
    this.#outcomes.delete(run)
  }

  /** Aborts what goes on; no further outcome counts. */
  stop (reason: Error): void {
    this.#isOver = true
    for (const run of this.active) run.abort.abort(reason)
  }

  /** Aborts and forgets all of them. */
  drop (reason: Error): void {
    for (const run of this.#all) run.abort.abort(reason)
    this.#all.clear()
    this.#outcomes.clear()
  }

  async #outcomeOf (run: EmbeddedRun): Promise<Outcome> {
    try {
      // Nothing that is answered may break a change: a copy is an object, whatever was answered.
      return { ...await this.#process(run) }
    } catch (error) {
      return { status: 'failed', error: error as Error }
    }
  }
}
