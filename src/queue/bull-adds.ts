import type { RedisQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'
import { withinDeadline } from '../redis/deadline.ts'
import type { AppKeys } from '../redis/keys.ts'
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
  readonly #turns = new FairTurns()
  #lookedAt = 0

  constructor (client: Redis, backend: RedisQueueBackend, keys: AppKeys) {
    this.#client = client
    this.#backend = backend
    this.#keys = keys
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async add (event: QueuedEvent): Promise<void> {
    const turn = event.first === true ? 0 : this.#take(event.memberId)
    const repeated = repeatedOf(event)
    // Both leave at once and in this order: a run that sees the event sees it counted.
    const counted = repeated === '' ? undefined : this.#client.hincrby(this.#keys.repeats, `+${repeated}`, 1)
    // Without a Job of BullMQ, whose attempts and their like are the worker's business here. Many adds in the pipeline of
    // `addBulk` cost ioredis more than each for itself, and fail together.
    const added = this.#backend.addJob(jobOf(event, turn, repeated), event.id)
    const id = await withinDeadline(counted === undefined ? added : both(counted, added))
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

  #take (memberId: string): number {
    // An answer that is late or missing leaves the turns as they were.
    if (performance.now() - this.#lookedAt > LOOK_MS) this.look().catch(() => {})
    return this.turnOf(memberId)
  }
}

/** BullMQ's deduplication id, or `''` for what is not coalesced. */
export function repeatedOf ({ memberId, code, item, coalesce }: QueuedEvent): string {
  return coalesce === true && item !== undefined ? `${memberId}/${code}/${item}` : ''
}

async function both (counted: Promise<unknown>, added: Promise<string>): Promise<string> {
  const [, id] = await Promise.all([counted, added])
  return id
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
