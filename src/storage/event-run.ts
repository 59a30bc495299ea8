import { LazyAbortController } from '../async/abort.ts'
import type { BegunEvent, GroupState } from './event-store.ts'
import { parsed, type Outcome, type Run } from './queued-event.ts'
import { storeUnavailable } from './unavailable.ts'

/** An event that a worker runs. */
export class EventRun implements Run {
  readonly seq: string
  readonly group: string
  readonly groupState: GroupState
  readonly event: unknown
  readonly attempts: number
  readonly coalesced: number
  readonly abort = new LazyAbortController()
  readonly beganAt = performance.now()
  isSlow = false
  progress: unknown
  outcome: Outcome | undefined
  readonly #save: (progress: string) => Promise<boolean>

  constructor ({ seq, group, groupState, body, attempts, coalesced, progress }: BegunEvent, save: (progress: string) => Promise<boolean>) {
    this.seq = seq
    this.group = group
    this.groupState = groupState
    this.event = parsed(body)
    this.attempts = attempts
    this.coalesced = coalesced
    this.progress = progress === undefined ? undefined : parsed(progress)
    this.#save = save
  }

  get attempt (): number { return this.attempts + 1 }
  get isAborted (): boolean { return this.abort.isAborted }
  get signal (): AbortSignal { return this.abort.signal }

  async save (progress: unknown): Promise<void> {
    if (this.isAborted) throw givenAway()
    if (!await this.#save(JSON.stringify(progress))) {
      const reason = givenAway()
      this.abort.abort(reason)
      throw reason
    }
    this.progress = progress
  }
}

/** The reason that ends a run whose event another worker has. */
export function givenAway (): Error {
  return storeUnavailable(new Error('The event was given to another worker'))
}
