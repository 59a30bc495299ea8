import { randomUUID } from 'node:crypto'
import { FST_B24_CLOSING } from '../errors.ts'
import { settlesWithin } from '../async/with-timeout.ts'
import { backoffOf } from './backoff.ts'
import { EventRun, givenAway } from './event-run.ts'
import type { BegunEvent, EventStore, StoredOutcome, Turn, TurnResult } from './event-store.ts'
import { RecentCounts } from './fair-share.ts'
import { deadEventOf, errorText, type DeadEvent, type Outcome, type Processor } from './queued-event.ts'

export interface QueueSettings {
  /** Attempts before an event is a dead letter. */
  attempts: number
  /** Wait before the second attempt, ms; doubled for each further one up to an hour, and spread at random by half of it. */
  backoffMs: number
  /** A worker that misses its heartbeats for this long, ms, is considered dead, and its events are reassigned. */
  stalledAfterMs: number
  /** Called with what keeps a worker from working, once until it works again by itself. No secret stands in it. */
  onError: (error: Error) => void
}

export interface WorkOptions {
  /** Most runs at once in this process. */
  concurrency: number
  /** Codes that this process listens to, as `EventStore.listen` takes them: the same list as long as nothing has changed. @default everything */
  listensTo?: () => readonly string[] | undefined
  /** Called for each dead letter that a worker of this process makes, after it is stored. */
  onDead: (event: DeadEvent) => void
  /** Called when dead letters were evicted though they were younger than they may be. */
  onEvicted?: (count: number) => void
}

/** Longest time between two turns, ms, and at least three in the time of a lease. Others that store events wake the worker. */
const POLL_MS = 1_000
/** A run that takes longer counts as one that hangs, until one of its group ends well, ms. */
const HUNG_AFTER_MS = 2_000
/** Turns that may be under way: so the storage works on one while the runs of another end. */
const TURNS_AT_ONCE = 2
/** Time that a worker has to give back what it ran, ms. */
const LEAVE_MS = 1_000
const GIVEN_BACK: Outcome = { status: 'later', delayMs: 0 }

/** Takes events from a store, runs them, and stores what became of them: one call a turn. */
export class QueueWorker {
  readonly #id = randomUUID()
  readonly #store: EventStore
  readonly #settings: QueueSettings
  readonly #processor: Processor
  readonly #options: WorkOptions
  readonly #runs = new Set<EventRun>()
  readonly #wellEnded = new RecentCounts()
  /** Groups to be told to the store with the next turn. */
  readonly #responsive = new Set<string>()
  readonly #hung = new Set<string>()
  #ended: EventRun[] = []
  #turns = new Set<Promise<void>>()
  /** Free places that turns under way may fill. */
  #reserved = 0
  /** There may be something to begin. */
  #isCalled = true
  /** The time for the next turn has come, whether anything can begin or not. */
  #isDue = true
  #hasTurned = false
  #isWaking = false
  #isClosing = false
  #isOver = false
  #isBroken = false
  #listensTo: readonly string[] | undefined | null = null
  #idle = () => {}
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

  /** There may be something to begin. */
  wake (): void {
    this.#isCalled = true
    if (this.#free > 0) this.#soon()
  }

  async close (timeoutMs: number): Promise<void> {
    this.#isClosing = true
    const ended = new Promise<void>(resolve => { this.#idle = resolve })
    if (this.#runs.size > 0 || this.#turns.size > 0) await settlesWithin(ended, timeoutMs)
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#unsubscribe()
    await settlesWithin(Promise.allSettled(this.#turns), LEAVE_MS)
    // What an aborted run resolves with does not count.
    const outcomes = [...this.#runs].map(run => this.#storedOutcome(run, run.outcome ?? GIVEN_BACK))
    for (const run of this.#runs) run.abort.abort(new FST_B24_CLOSING())
    await this.#store.turn({ ...this.#turn([], 0), leaseMs: 0, outcomes }).then(result => this.#report(result), () => {})
  }

  get #free (): number {
    return this.#isClosing ? 0 : this.#options.concurrency - this.#runs.size + this.#ended.length - this.#reserved
  }

  /** Runs that end in one tick of the event loop are stored with one turn. */
  #soon (): void {
    if (this.#isWaking || this.#isOver) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      this.#work()
    })
  }

  #work (): void {
    if (this.#isOver || this.#turns.size >= (this.#isBroken ? 1 : TURNS_AT_ONCE)) return
    // One turn at a time begins: the next has to know what it began, or groups get more than their places.
    const free = this.#reserved > 0 ? 0 : this.#free
    if (this.#ended.length === 0 && !this.#isDue && !(this.#isCalled && free > 0)) return
    this.#isDue = false
    this.#isCalled = free === 0
    clearTimeout(this.#timer)
    const turn = this.#takeTurn(this.#ended.splice(0), free).finally(() => {
      this.#turns.delete(turn)
      if (this.#turns.size === 0 && (this.#isBroken ? this.#ended.length : 0) === this.#runs.size) this.#idle()
      // What could not be stored is told again in a while.
      if (!this.#isBroken && (this.#ended.length > 0 || (this.#isCalled && this.#free > 0))) this.#soon()
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
        for (const run of before) run.abort.abort(givenAway())
        this.#listensTo = null
      }
      this.#hasTurned = true
      this.#report(result)
      for (const run of ended) this.#runs.delete(run)
      for (const event of result.begun) this.#start(event)
      // What was begun may leave more that waits.
      if (free > 0 && result.begun.length === free) this.#isCalled = true
      waitMs = Math.min(result.dueInMs ?? pollMs, pollMs)
    } catch (error) {
      // Its outcomes are told with the next one; whoever has the events by then, has them.
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
    this.#soon()
  }

  /** Tells the store what this process listens to, whenever that has changed. */
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
      const places = running[run.group] ??= { own: 0, most: 1 + this.#wellEnded.of(run.group) }
      if (run.outcome !== undefined) continue
      places.own++
      if (!run.isSlow && now - run.beganAt > HUNG_AFTER_MS) {
        run.isSlow = true
        this.#hung.add(run.group)
      }
      if (run.groupState !== 'responsive') runningOf.untested++
      if (run.groupState === 'hung' || run.isSlow) runningOf.hung++
    }
    const told = new Set(ended)
    const turn = {
      worker: this.#id,
      leaseMs: this.#settings.stalledAfterMs,
      // An aborted run has lost its event, perhaps to another run of this very worker.
      outcomes: ended.filter(({ isAborted }) => !isAborted).map(run => this.#storedOutcome(run, run.outcome as Outcome)),
      free,
      concurrency: this.#options.concurrency,
      ...(this.#turns.size <= 1 && { runs: [...this.#runs].filter(run => !told.has(run)).map(({ seq }) => seq) }),
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
    const outcome = this.#isClosing ? GIVEN_BACK : await this.#processor(run).then(outcome => ({ ...outcome }), (error: Error): Outcome => ({ status: 'failed', error }))
    run.outcome = outcome
    if (outcome.hung === true) this.#hung.add(run.group)
    else if (outcome.status === 'done') {
      this.#responsive.add(run.group)
      this.#wellEnded.add(run.group)
    }
    if (this.#isOver) return
    this.#ended.push(run)
    this.#soon()
  }
}
