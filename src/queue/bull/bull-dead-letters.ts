import type { Job, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { FST_B24_INVALID_CURSOR } from '../../errors.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import type { BullAdds } from './bull-adds.ts'
import { eventOf, letterOf, renewedProgress } from './bull-letter.ts'
import { PAGE, pageOf, placesOf } from '../dead-letter-page.ts'
import type { StoredLetter, DeadLetterBox, LetterFilter, DeadLetterPage } from '../queue.ts'

/** When a letter failed, and its id. */
const CURSOR = /^(\d{1,16})\.(.+)$/s

// KEYS: failed, job. ARGV: id, turn, progress. BullMQ resets attempts that failed, but not those that a worker did not survive.
const RENEW = `
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('HDEL', KEYS[2], 'stc')
redis.call('HSET', KEYS[2], 'progress', ARGV[3])
if ARGV[2] ~= '0' then redis.call('HSET', KEYS[2], 'priority', ARGV[2]) end
return 1`

/** The failed jobs of a BullMQ queue. */
export class BullDeadLetters implements DeadLetterBox {
  readonly #queue: Queue
  readonly #client: Redis
  readonly #adds: BullAdds

  constructor (queue: Queue, client: Redis, adds: BullAdds) {
    this.#queue = queue
    this.#client = client
    this.#adds = adds
  }

  async list (filter?: LetterFilter, cursor?: string, limit = PAGE): Promise<DeadLetterPage> {
    const behind = cursor === undefined ? undefined : CURSOR.exec(cursor)
    if (behind === null) throw new FST_B24_INVALID_CURSOR()
    return await withinDeadline(this.#list(filter, behind as [string, string, string] | undefined, limit))
  }

  async get (id: string): Promise<StoredLetter | undefined> {
    const job = await withinDeadline(this.#find(id))
    return job === undefined ? undefined : letterOf(job)
  }

  replay (id: string): Promise<boolean> {
    return withinDeadline(this.#replay(id))
  }

  discard (id: string): Promise<boolean> {
    return withinDeadline(this.#discard(id))
  }

  async #list (filter: LetterFilter | undefined, behind: [string, string, string] | undefined, limit: number): Promise<DeadLetterPage> {
    const start = behind === undefined ? 0 : await this.#after(behind)
    const found = await this.#client.zrevrange(this.#queue.toKey('failed'), start, start + placesOf(filter, limit) - 1, 'WITHSCORES')
    const ids = found.filter((_, i) => i % 2 === 0)
    // All are asked for in one turn, and answered in one round trip.
    const jobs = await Promise.all(ids.map(id => this.#find(id)))
    return pageOf(jobs.map((job, i) => ({ cursor: `${found[2 * i + 1]}.${ids[i]}`, letter: job && letterOf(job) })), filter, limit)
  }

  /** Index of the first letter behind the one that the cursor names; when that is gone, of the first of its millisecond. */
  async #after ([, failedAt, id]: [string, string, string]): Promise<number> {
    const failed = this.#queue.toKey('failed')
    const rank = await this.#client.zrevrank(failed, id)
    return rank === null ? await this.#client.zcount(failed, `(${failedAt}`, '+inf') : rank + 1
  }

  /** One may have been put back or deleted since; only what failed for good has an end, and stays. */
  async #find (id: string): Promise<Job | undefined> {
    const job: Job | undefined = await this.#queue.getJob(id)
    return job?.finishedOn === undefined ? undefined : job
  }

  async #replay (id: string): Promise<boolean> {
    const job: Job | undefined = await this.#queue.getJob(id)
    if (job === undefined) return false
    const { memberId = '', turn: owner = memberId, first = false } = eventOf(job) ?? {}
    const turn = first ? 0 : this.#adds.turnOf(owner)
    // A process that ends between the two leaves the letter where it is.
    if (await this.#client.eval(RENEW, 2, this.#queue.toKey('failed'), this.#queue.toKey(id), id, turn, renewedProgress(job) ?? '0') === 0) return false
    return await isThere(job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true }))
  }

  async #discard (id: string): Promise<boolean> {
    const job = await this.#find(id)
    return job !== undefined && await isThere(job.remove())
  }
}

/** Tells whether BullMQ found the job where it should be; another process may have been faster. */
async function isThere (act: Promise<void>): Promise<boolean> {
  try {
    await act
    return true
  } catch (error) {
    if (typeof (error as { code?: unknown }).code === 'number') return false
    throw error
  }
}
