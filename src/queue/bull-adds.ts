import type { RedisQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'
import { withinDeadline } from '../redis/deadline.ts'
import type { AppKeys } from '../redis/keys.ts'
import type { CountedAdd } from './counted-add.ts'
import { FairTurns } from './fair-turns.ts'
import type { QueuedEvent } from './queue.ts'

/** Longest time that a turn is reckoned from what was read last, ms. */
const LOOK_MS = 75

type JobJson = Parameters<RedisQueueBackend['addJob']>[0]

/** Puts events into BullMQ. */
export class BullAdds {
  readonly #client: Redis
  readonly #backend: RedisQueueBackend
  readonly #keys: AppKeys
  readonly #counted: CountedAdd
  readonly #turns = new FairTurns()
  #lookedAt = 0

  constructor (client: Redis, backend: RedisQueueBackend, keys: AppKeys, counted: CountedAdd) {
    this.#client = client
    this.#backend = backend
    this.#keys = keys
    this.#counted = counted
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async add (event: QueuedEvent): Promise<void> {
    const turn = event.first === true ? 0 : this.#take(event.memberId)
    // Without a Job of BullMQ, whose attempts and their like are the worker's business here. Many adds in the pipeline of
    // `addBulk` cost ioredis more than each for itself, and fail together.
    const id = await withinDeadline(this.#send(event, turn))
    if (id !== event.id) this.#turns.giveBack(event.memberId, turn)
  }

  /** Reads whose turn it is. */
  async look (): Promise<void> {
    this.#lookedAt = performance.now()
    this.#turns.learn(await withinDeadline(this.#client.get(this.#keys.turn)) ?? '0.0')
  }

  turnOf (memberId: string): number {
    return this.#turns.take(memberId)
  }

  #send (event: QueuedEvent, turn: number): Promise<string> {
    const repeated = repeatedOf(event)
    const job = jobOf(event, turn, repeated)
    return repeated === ''
      ? this.#backend.addJob(job, event.id)
      : this.#backend.addJobToTransaction(this.#counted.target(this.#backend.toKey(''), event.id, repeated), job, event.id)
  }

  #take (memberId: string): number {
    // An answer that is late or missing leaves the turns as they were.
    if (performance.now() - this.#lookedAt > LOOK_MS) this.look().catch(() => {})
    return this.turnOf(memberId)
  }
}

/** BullMQ's deduplication id, or `''` for what is not coalesced. */
function repeatedOf ({ memberId, code, item, coalesce }: QueuedEvent): string {
  return coalesce === true && item !== undefined ? JSON.stringify([memberId, code, item]) : ''
}

function jobOf (event: QueuedEvent, turn: number, repeated: string): JobJson {
  const job = {
    id: event.id,
    name: event.code,
    data: JSON.stringify(event),
    timestamp: event.receivedAt,
    opts: {
      ...(turn > 0 && { priority: turn }),
      ...(repeated !== '' && { deduplication: { id: repeated, keepLastIfActive: true } })
    },
    ...(repeated !== '' && { deduplicationId: repeated })
  }
  // The rest of a JobJson is what a job gets later.
  return job as JobJson
}
