import type { RedisQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'
import { withinDeadline } from '../../storage/within-deadline.ts'
import type { AppKeys } from '../../storage/redis/keys.ts'
import { AddBatch, type NewJob } from './add-batch.ts'
import type { BullScripts } from './bull-scripts.ts'
import { FairTurns } from './fair-turns.ts'
import { nameOf } from './job-name.ts'
import type { QueuedEvent } from '../queue.ts'

/** Longest time that a turn is reckoned from what was read last, ms. */
const LOOK_MS = 75

/** What BullMQ passes to its scripts: the keys, and three arguments more. */
interface ScriptArgs {
  addStandardJobArgs (job: object, opts: string, args: unknown[]): string[]
  addPrioritizedJobArgs (job: object, opts: string, args: unknown[]): string[]
}

/** Puts events into BullMQ, without a `Job` of it: attempts and their like are the worker's business here. */
export class BullAdds {
  readonly #client: Redis
  readonly #keys: AppKeys
  readonly #standard: AddBatch
  readonly #prioritized: AddBatch
  readonly #turns = new FairTurns()
  #lookedAt = 0

  constructor (client: Redis, backend: RedisQueueBackend, keys: AppKeys, scripts: BullScripts) {
    this.#client = client
    this.#keys = keys
    const args = backend as unknown as ScriptArgs
    const batch = (name: string, passed: string[]) => new AddBatch(client, `b24:${name}`, scripts.get(name), {
      keys: passed.slice(0, -3), queue: backend.toKey(''), items: keys.items
    })
    this.#standard = batch('addStandardJob', args.addStandardJobArgs({}, '', []))
    this.#prioritized = batch('addPrioritizedJob', args.addPrioritizedJobArgs({}, '', []))
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async add (event: QueuedEvent): Promise<void> {
    const owner = event.turn ?? event.memberId
    const turn = event.first === true ? 0 : this.#take(owner)
    const id = await (turn > 0 ? this.#prioritized : this.#standard).ask(jobOf(event, turn))
    if (id !== event.id) this.#turns.giveBack(owner, turn)
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

function jobOf (event: QueuedEvent, turn: number): NewJob {
  return { id: event.id, name: nameOf(event), data: dataOf(event), timestamp: event.receivedAt, priority: turn, repeated: repeatedOf(event) }
}

/** JSON with the payload behind the rest: who takes turns for a job is read without it. */
function dataOf ({ payload, ...facts }: QueuedEvent): string {
  return JSON.stringify({ ...facts, payload })
}

function repeatedOf ({ memberId, code, item, coalesce }: QueuedEvent): string {
  return coalesce === true && item !== undefined ? JSON.stringify([memberId, code, item]) : ''
}
