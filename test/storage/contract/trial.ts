import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { EventQueue } from '../../../src/storage/event-queue.ts'
import type { EventCounts, EventStore, EventStoreSettings, NewEvent, Turn } from '../../../src/storage/event-store.ts'
import type { QueueSettings } from '../../../src/storage/queue-worker.ts'
import type { DeadEvent, Outcome, QueuedEvent, Run } from '../../../src/storage/queued-event.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import type { OpenStorage } from '../drivers.ts'
import { until } from '../../helpers/until.ts'

/** A run as it was seen. */
export interface Seen extends Pick<Run, 'attempt' | 'coalesced' | 'progress'> {
  event: QueuedEvent
  /** ms of the monotonic clock. */
  beganAt: number
  endedAt?: number
  /** `undefined` also when the process rejected. */
  outcome?: Outcome
}

/** What a case does in a run; `done` where it answers nothing. */
export type Handle = (run: Run, seen: Seen) => Promise<Outcome | undefined> | Outcome | undefined

/** One case on an app of its own: opens queues, works on them, and writes down every run. */
export class Trial {
  readonly app = randomBytes(8).toString('hex')
  readonly runs: Seen[] = []
  /** What `onDead` was reported. */
  readonly dead: DeadEvent[] = []
  readonly #open: OpenStorage
  readonly #storages: Storage[] = []
  readonly #queues: EventQueue[] = []
  readonly #keys = new Set<string>()
  /** What no case may see. */
  readonly #faults: string[] = []

  constructor (open: OpenStorage) {
    this.#open = open
  }

  /** Opens a queue of the app; of another one where it is named. */
  async open (over: Partial<QueueSettings & EventStoreSettings> = {}, app = this.app): Promise<EventQueue> {
    const settings = {
      attempts: 3,
      backoffMs: 10,
      // So long that no case can rely on it, and no pause of a busy machine looks like a death.
      stalledAfterMs: 30_000,
      onError: (error: Error) => { this.#faults.push(`onError was reported: ${error.message} ${String(error.cause)}`) },
      ...over
    }
    const queue = new EventQueue(await this.openStore(settings, app), settings)
    this.#queues.push(queue)
    return queue
  }

  /** Opens the event store of the app, to be asked without a queue. */
  async openStore (over: Partial<EventStoreSettings> = {}, app = this.app): Promise<EventStore> {
    const { attempts = 3, deadLetters = { maxAgeMs: 3_600_000, maxCount: 1_000, maxBytes: 10_000_000 }, maxWaitingBytes = 100_000_000 } = over
    const storage = await this.#open({
      app,
      events: { attempts, deadLetters, maxWaitingBytes },
      waitReplicas: 0,
      onError: (error) => { this.#faults.push(`onError was reported: ${error.message} ${String(error.cause)}`) },
      onReady: () => {},
      onWarning: () => {}
    })
    this.#storages.push(storage)
    return storage.events
  }

  work (queue: EventQueue, handle: Handle = () => undefined, concurrency = 8): void {
    const now = { running: 0 }
    queue.work(async (run) => {
      if (++now.running > concurrency) this.#faults.push(`${now.running} runs at once of ${concurrency}`)
      const seen = this.#began(run)
      const end = this.#ender(run, seen, () => { now.running-- })
      try {
        seen.outcome = await handle(run, seen) ?? { status: 'done' }
        return seen.outcome
      } finally {
        end()
      }
    }, { concurrency, onDead: (deadLetter) => { this.dead.push(deadLetter) } })
  }

  /** Ids of all runs in the order that they began. */
  get ids (): string[] {
    return this.runs.map(({ event }) => event.id)
  }

  /** Waits until a queue counts so many. */
  async counted (queue: EventQueue, expected: EventCounts): Promise<void> {
    await until(async () => isDeepStrictEqual(await queue.counts(), expected), `counts of ${JSON.stringify(expected)}`)
  }

  /** Waits until `onDead` was called `count` times. */
  async waitForDead (count: number): Promise<void> {
    await until(() => this.dead.length >= count, `onDead is called ${count} times`)
  }

  /** Waits until `count` runs have ended, and nothing waits or runs any more. */
  async settled (queue: EventQueue, count: number): Promise<void> {
    await until(() => this.runs.filter(({ endedAt }) => endedAt !== undefined).length >= count, `${count} runs have ended`)
    await until(async () => await this.#idle(queue) && await this.#idle(queue), 'nothing waits and nothing runs')
  }

  /** Closes what the case left open. */
  async close (): Promise<void> {
    await Promise.all(this.#queues.map(queue => queue.close(100)))
    await Promise.all(this.#storages.map(storage => storage.close()))
  }

  assertSound (): void {
    assert.deepEqual(this.#faults, [])
  }

  async #idle (queue: EventQueue): Promise<boolean> {
    const { waiting, active } = await queue.counts()
    return waiting === 0 && active === 0
  }

  #began (run: Run): Seen {
    const event = run.event as QueuedEvent
    const { attempt, coalesced, progress } = run
    const seen = { event, attempt, coalesced, progress, beganAt: performance.now() }
    this.runs.push(seen)
    const key = keyOf(event)
    if (this.#keys.has(key)) this.#faults.push(`${key} was handled twice at once`)
    if (event.key !== undefined) this.#keys.add(key)
    return seen
  }

  #ender (run: Run, seen: Seen, freed: () => void): () => void {
    const end = () => {
      run.signal.removeEventListener('abort', end)
      seen.endedAt = performance.now()
      freed()
      this.#keys.delete(keyOf(seen.event))
    }
    // After an abort others may have the key.
    run.signal.addEventListener('abort', end)
    return () => { if (seen.endedAt === undefined) end() }
  }
}

function keyOf ({ memberId, key }: QueuedEvent): string {
  return JSON.stringify([memberId, key])
}

/** An event as it comes most often, without a key. */
export function newEvent (over: Partial<QueuedEvent> = {}): QueuedEvent {
  const id = randomUUID()
  return { id, memberId: 'portal-a', code: 'ONCRMDEALUPDATE', receivedAt: Date.now(), payload: { id }, ...over }
}

export function newEvents (count: number, over: Partial<QueuedEvent> = {}): QueuedEvent[] {
  return Array.from({ length: count }, () => newEvent(over))
}

/** Adds events one after the other, so that the first is the oldest. */
export async function addAll (queue: EventQueue, events: QueuedEvent[]): Promise<void> {
  for (const event of events) await queue.add(event)
}

/** What a run waits at until the case opens it. */
export interface Latch {
  opened: Promise<void>
  open (): void
}

export function newLatch (): Latch {
  const latch: Partial<Latch> = {}
  latch.opened = new Promise((resolve) => { latch.open = resolve })
  return latch as Latch
}

export function failed (message = 'no luck'): Outcome {
  return { status: 'failed', error: new Error(message) }
}

export function dead (message = 'hopeless'): Outcome {
  return { status: 'dead', error: new Error(message) }
}

/** An event as a store takes it, without a key. */
export function newStored (over: Partial<NewEvent> = {}): NewEvent {
  const id = randomUUID()
  return { id, group: 'portal-a', code: 'ONCRMDEALUPDATE', isPriority: false, body: JSON.stringify({ id }), ...over }
}

/** A turn of a worker without outcomes. */
export function newTurn (over: Partial<Turn> = {}): Turn {
  return { worker: 'worker-1', leaseMs: 30_000, outcomes: [], free: 0, concurrency: 16, running: {}, runningOf: { untested: 0, hung: 0 }, responsive: [], hung: [], ...over }
}
