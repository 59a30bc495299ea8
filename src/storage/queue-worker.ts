import { randomUUID } from 'node:crypto'
import { FST_B24_CLOSING } from '../errors.ts'
import { settlesWithin } from '../async/with-timeout.ts'
import { backoffOf } from './backoff.ts'
import { EventRun, reassigned, deadEventOf, errorText, type DeadEvent, type Outcome, type Processor } from './queued-event.ts'
import type { BegunEvent, EventStore, StoredOutcome, Turn, TurnResult } from './event-store.ts'
import { RecentCounts } from './fair-share.ts'

export interface QueueSettings {
  /** Maximum attempts before an event becomes a dead letter. */
  attempts: number
  /** Delay before the second attempt, ms; see `backoffOf`. */
  backoffMs: number
  /** A worker that misses its heartbeats for this long, ms, is considered dead, and its events are reassigned. */
  stalledAfterMs: number
  /** Called once per outage of the storage. The error contains no secret. */
  onError: (error: Error) => void
}

export interface WorkOptions {
  /** Maximum number of concurrent runs. */
  concurrency: number
  /** Returns the codes for `EventStore.listen`: the same array until they change. @default all codes */
  listensTo?: () => readonly string[] | undefined
  /** Called for each dead letter created by this worker, after it is stored. */
  onDead: (event: DeadEvent) => void
  /** Called when dead letters were evicted before `maxAgeMs`. */
  onEvicted?: (count: number) => void
}

/** Maximum time between two turns, ms; at most a third of the lease. New events wake the worker earlier. */
const POLL_MS = 1_000
/** A group with a run longer than this (ms) counts as hung until one of its runs succeeds. */
const HUNG_AFTER_MS = 2_000
/** Maximum concurrent turns, so that the storage works on one while runs of another end. */
const MAX_TURNS = 2
/** Time limit for returning events to the queue at close, ms. */
const RETURN_TIMEOUT_MS = 1_000
const RETURNED: Outcome = { status: 'later', delayMs: 0 }

/** Runs events of a store. Each turn is one call, which stores outcomes and starts events. */
export class QueueWorker {
  readonly #id = randomUUID()
  readonly #store: EventStore
  readonly #settings: QueueSettings
  readonly #processor: Processor
  readonly #options: WorkOptions
  readonly #runs = new Set<EventRun>()
  readonly #succeeded = new RecentCounts()
  /** Groups to report with the next turn. */
  readonly #responsive = new Set<string>()
  readonly #hung = new Set<string>()
  #ended: EventRun[] = []
  #turns = new Set<Promise<void>>()
  /** Free slots that turns in progress may fill. */
  #reserved = 0
  /** Events may be waiting. */
  #isCalled = true
  /** The next turn is due, even if no event can start. */
  #isDue = true
  #hasTurned = false
  #isWaking = false
  #isClosing = false
  #isOver = false
  #isBroken = false
  #listensTo: readonly string[] | undefined | null = null
  #onIdle = () => {}
  #timer: NodeJS.Timeout | undefined
  #unsubscribe = () => {}

  constructor (store: EventStore, settings: QueueSettings, processor: Processor, options: WorkOptions) {
    this.#store = store
    this.#settings = settings
    this.#processor = processor
    this.#options = options
    store.onWaiting(() => this.wake()).then(unsubscribe => {
      this.#unsubscribe = unsubscribe
      if (this.#isOver) unsubscribe()
      this.wake()
    }, settings.onError)
    this.wake()
  }

  /** Looks for waiting events. */
  wake (): void {
    this.#isCalled = true
    if (this.#free > 0) this.#schedule()
  }

  async close (timeoutMs: number): Promise<void> {
    this.#isClosing = true
    const ended = new Promise<void>(resolve => { this.#onIdle = resolve })
    if (this.#runs.size > 0 || this.#turns.size > 0) await settlesWithin(ended, timeoutMs)
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#unsubscribe()
    await settlesWithin(Promise.allSettled(this.#turns), RETURN_TIMEOUT_MS)
    // A run that was aborted before no longer owns its event; outcomes of those that are aborted now are ignored.
    const outcomes = [...this.#runs].filter(({ isAborted }) => !isAborted).map(run => this.#storedOutcome(run, run.outcome ?? RETURNED))
    for (const run of this.#runs) run.abort.abort(new FST_B24_CLOSING())
    await this.#store.turn({ ...this.#turn([], 0), leaseMs: 0, outcomes }).then(result => this.#report(result), () => {})
  }

  get #free (): number {
    return this.#isClosing ? 0 : this.#options.concurrency - this.#runs.size + this.#ended.length - this.#reserved
  }

  /** Schedules a turn. Runs that end in the same tick of the event loop share it. */
  #schedule (): void {
    if (this.#isWaking || this.#isOver) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      this.#work()
    })
  }

  #work (): void {
    if (this.#isOver || this.#turns.size >= (this.#isBroken ? 1 : MAX_TURNS)) return
    // Only one turn at a time may start events: the next one must know which groups they belong to.
    const free = this.#reserved > 0 ? 0 : this.#free
    if (this.#ended.length === 0 && !this.#isDue && !(this.#isCalled && free > 0)) return
    this.#isDue = false
    this.#isCalled = free === 0
    clearTimeout(this.#timer)
    const turn = this.#takeTurn(this.#ended.splice(0), free).finally(() => {
      this.#turns.delete(turn)
      if (this.#turns.size === 0 && (this.#isBroken ? this.#ended.length : 0) === this.#runs.size) this.#onIdle()
      // During an outage, the timer retries.
      if (!this.#isBroken && (this.#ended.length > 0 || (this.#isCalled && this.#free > 0))) this.#schedule()
    })
    this.#turns.add(turn)
  }

  async #takeTurn (ended: EventRun[], free: number): Promise<void> {
    this.#reserved += free
    const pollMs = Math.min(POLL_MS, this.#settings.stalledAfterMs / 3)
    let waitMs = pollMs
    let turn: Turn | undefined
    try {
      await this.#listen()
      const before = [...this.#runs]
      const result = await this.#store.turn(turn = this.#turn(ended, free))
      this.#isBroken = false
      if (result.isLeaseLost && this.#hasTurned) {
        for (const run of before) run.abort.abort(reassigned())
        this.#listensTo = null
      }
      this.#hasTurned = true
      this.#report(result)
      for (const run of ended) this.#runs.delete(run)
      for (const event of result.begun) this.#start(event)
      // More events may be waiting.
      if (free > 0 && result.begun.length === free) this.#isCalled = true
      waitMs = Math.min(result.dueInMs ?? pollMs, pollMs)
    } catch (error) {
      // Outcomes are retried with the next turn. The store ignores those of reassigned events.
      this.#ended.push(...ended)
      for (const group of turn?.responsive ?? []) this.#responsive.add(group)
      for (const group of turn?.hung ?? []) this.#hung.add(group)
      if (!this.#isBroken) this.#settings.onError(error as Error)
      this.#isBroken = true
    } finally {
      this.#reserved -= free
    }
    clearTimeout(this.#timer)
    if (!this.#isOver) this.#timer = setTimeout(() => this.#turnNow(), waitMs).unref()
  }

  #turnNow (): void {
    this.#isDue = true
    this.#isCalled = true
    this.#schedule()
  }

  /** Stores the codes that this process listens to when they have changed. */
  async #listen (): Promise<void> {
    const codes = this.#options.listensTo?.()
    if (codes === this.#listensTo) return
    await this.#store.listen(this.#id, codes)
    this.#listensTo = codes
  }

  #turn (ended: EventRun[], free: number): Turn {
    const running: Record<string, { own: number, most: number }> = Object.create(null)
    const runningOf = { untested: 0, hung: 0 }
    const now = performance.now()
    for (const run of this.#runs) {
      const slots = running[run.group] ??= { own: 0, most: 1 + this.#succeeded.of(run.group) }
      if (run.outcome !== undefined) continue
      slots.own++
      if (!run.isSlow && now - run.beganAt > HUNG_AFTER_MS) {
        run.isSlow = true
        this.#hung.add(run.group)
      }
      if (run.groupState !== 'responsive') runningOf.untested++
      if (run.groupState === 'hung' || run.isSlow) runningOf.hung++
    }
    const reported = new Set(ended)
    const turn = {
      worker: this.#id,
      leaseMs: this.#settings.stalledAfterMs,
      // An aborted run no longer owns its event, which this worker may even run again.
      outcomes: ended.filter(({ isAborted }) => !isAborted).map(run => this.#storedOutcome(run, run.outcome as Outcome)),
      free,
      concurrency: this.#options.concurrency,
      ...(this.#turns.size <= 1 && { runs: [...this.#runs].filter(run => !reported.has(run)).map(({ seq }) => seq) }),
      running,
      runningOf,
      responsive: [...this.#responsive],
      hung: [...this.#hung]
    }
    this.#responsive.clear()
    this.#hung.clear()
    return turn
  }

  #storedOutcome ({ seq, attempts }: EventRun, outcome: Outcome): StoredOutcome {
    const { attempts: most, backoffMs } = this.#settings
    const tried = attempts + 1
    if (outcome.status === 'done') return { seq, status: 'done' }
    if (outcome.status === 'later') return { seq, status: 'wait', delayMs: Math.round(outcome.delayMs), attempts, isRetry: false }
    if (outcome.status === 'failed' && tried < most) return { seq, status: 'wait', delayMs: backoffOf(tried, backoffMs), attempts: tried, isRetry: true }
    return { seq, status: 'dead', attempts: tried, error: errorText(outcome.error) }
  }

  #report ({ dead, evicted }: TurnResult): void {
    for (const row of dead) this.#options.onDead(deadEventOf(row))
    if (evicted > 0) this.#options.onEvicted?.(evicted)
  }

  async #start (event: BegunEvent): Promise<void> {
    const run = new EventRun(event, async progress => !this.#isOver && await this.#store.saveProgress(this.#id, event.seq, progress))
    this.#runs.add(run)
    const outcome = this.#isClosing ? RETURNED : await this.#processor(run).then(outcome => ({ ...outcome }), (error: Error): Outcome => ({ status: 'failed', error }))
    run.outcome = outcome
    if (outcome.hung === true) this.#hung.add(run.group)
    else if (outcome.status === 'done') {
      this.#responsive.add(run.group)
      this.#succeeded.add(run.group)
    }
    if (this.#isOver) return
    this.#ended.push(run)
    this.#schedule()
  }
}
