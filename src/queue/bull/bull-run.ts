import type { Job } from 'bullmq'
import { attemptsOf, factsOf } from './bull-letter.ts'
import { givenAway, type Save } from './bull-saves.ts'
import { itemOf } from './job-name.ts'
import { LazyAbortController } from '../../async/abort.ts'
import type { Entry, Holder, ItemLedger } from './item-ledger.ts'
import type { Outcome, QueuedEvent, Run } from '../queue.ts'

/** As it is kept with the job: it holds as long as no repeat has come in since. */
type Saved = [repeats: number, progress: unknown]

/** One attempt at a job of BullMQ. */
export class BullRun implements Run {
  readonly job: Job
  readonly token: string
  readonly event: unknown
  readonly attempt: number
  /** When BullMQ's lock of the job was renewed, by `performance.now()`. */
  renewedAt = performance.now()
  /** Others may have the job. */
  isLost = false
  hasPlace = false
  #abandon: (outcome: Outcome) => void = () => {}
  readonly abort = new LazyAbortController()
  readonly #before: number
  readonly #entry: Entry
  readonly #save: Save

  /** Begins: the ledger has said already whether it may run. */
  constructor (job: Job, token: string, ledger: ItemLedger, save: Save) {
    this.job = job
    this.token = token
    this.event = job.data
    this.attempt = attemptsOf(job) + 1
    const item = itemOf(job)
    this.#entry = ledger.begin(job.id as string, item === undefined ? undefined : { token, item } satisfies Holder)
    this.#save = save
    this.#before = factsOf(job).coalesced ?? 1
  }

  get isFree (): boolean {
    return this.#entry.free
  }

  /** Who takes turns for it, also for what is no event. */
  get portal (): string {
    const { memberId, turn = memberId } = (this.event ?? {}) as Partial<QueuedEvent>
    return String(turn)
  }

  get isFirst (): boolean {
    return (this.event as Partial<QueuedEvent> | null)?.first === true
  }

  get isAborted (): boolean {
    return this.abort.isAborted
  }

  get signal (): AbortSignal {
    return this.abort.signal
  }

  /** Settles as the attempt does, or when the queue does not wait for the handlers any more. */
  unlessAbandoned (attempt: Promise<Outcome>): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#abandon = resolve
      attempt.then(resolve, reject)
    })
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
    if (this.isLost) throw givenAway()
    const saved: Saved = [this.#entry.repeats, progress]
    await this.#save(this.job.id as string, this.token, JSON.stringify(saved))
    this.job.progress = saved
  }
}
