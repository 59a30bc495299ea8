import type { Job } from 'bullmq'
import { withinDeadline } from '../redis/deadline.ts'
import { attemptsOf, eventOf, factsOf } from './bull-letter.ts'
import type { Entry, ItemLedger, Line } from './item-ledger.ts'
import type { Outcome, Run } from './queue.ts'

/** As it is kept with the job: it holds as long as no repeat has come in since. */
type Saved = [repeats: number, progress: unknown]

const ALONE: Entry = { free: true, repeats: 0 }

/** One attempt at a job of BullMQ. */
export class BullRun implements Run {
  readonly job: Job
  readonly token: string
  readonly event: unknown
  readonly attempt: number
  readonly signal: AbortSignal
  /** Resolves when the queue does not wait for the handlers any more. */
  readonly abandoned: Promise<Outcome>
  /** When BullMQ's lock of the job was renewed, by `performance.now()`. */
  renewedAt = performance.now()
  /** Others may have the job. */
  isLost = false
  #abandon!: (outcome: Outcome) => void
  readonly #line: Line | undefined
  readonly #before: number
  #entry = ALONE

  constructor (job: Job, token: string, signal: AbortSignal) {
    this.job = job
    this.token = token
    this.signal = signal
    this.event = job.data
    this.attempt = attemptsOf(job) + 1
    this.abandoned = new Promise(resolve => { this.#abandon = resolve })
    const event = eventOf(job)
    if (event?.item !== undefined) this.#line = { jobId: job.id as string, token, item: JSON.stringify([event.memberId, event.item]) }
    this.#before = factsOf(job).coalesced ?? 1
  }

  /**
   * @returns whether it may run now
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async begin (ledger: ItemLedger): Promise<boolean> {
    if (this.#line !== undefined) this.#entry = await ledger.begin(this.#line)
    return this.#entry.free
  }

  /** Lets go of its item; for good, when its job is over. */
  end (ledger: ItemLedger, over: boolean): void {
    if (this.#line !== undefined && this.#entry.free) ledger.end(this.#line, over)
  }

  abandon (): void {
    this.#abandon({ status: 'later', delayMs: 0 })
  }

  get coalesced (): number {
    return Math.max(this.#before, 1 + this.#entry.repeats)
  }

  get progress (): unknown {
    // A job that never saved anything has 0 there, and a stranger's whatever it is.
    const [repeats, progress] = (Array.isArray(this.job.progress) ? this.job.progress : []) as Partial<Saved>
    return repeats === this.#entry.repeats ? progress : undefined
  }

  async save (progress: unknown): Promise<void> {
    await withinDeadline(this.job.updateProgress([this.#entry.repeats, progress] satisfies Saved))
  }
}
