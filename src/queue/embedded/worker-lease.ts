import { randomUUID } from 'node:crypto'
import { hasEnded, ownSign, type ProcessSign } from '../../embedded/process-sign.ts'
import { parseJson } from './embedded-record.ts'
import type { EmbeddedTables } from './embedded-tables.ts'

interface Sign extends ProcessSign {
  beat: number
}

/** The right to handle the events of a folder: one worker has it. */
export class WorkerLease {
  readonly #id = randomUUID()
  readonly #own = ownSign()
  readonly #meta: EmbeddedTables['meta']
  readonly #stalledAfterMs: number
  #beat = 0
  /** When this one gave its last sign, ms of the monotonic clock. */
  #beatAt = -Infinity
  /** Last sign of another one, and when it was new. */
  #seen = ''
  #seenAt = 0

  constructor ({ meta }: EmbeddedTables, stalledAfterMs: number) {
    this.#meta = meta
    this.#stalledAfterMs = stalledAfterMs
  }

  isMine (): boolean {
    return this.#meta.get('owner') === this.#id
  }

  /** Whether nobody has it, or only one who is gone. */
  isFree (): boolean {
    const owner = this.#meta.get('owner')
    if (owner === undefined) return true
    const sign = String(this.#meta.get('sign'))
    if (`${owner} ${sign}` !== this.#seen) {
      this.#seen = `${owner} ${sign}`
      this.#seenAt = performance.now()
    }
    return hasEnded((parseJson(sign) ?? {}) as Partial<Sign>, this.#own) || performance.now() - this.#seenAt > this.#stalledAfterMs
  }

  take (): void {
    this.#meta.put('owner', this.#id)
    this.beat()
  }

  get isBeatDue (): boolean {
    return performance.now() - this.#beatAt > this.#stalledAfterMs / 4
  }

  beat (): void {
    this.#beatAt = performance.now()
    this.#meta.put('sign', JSON.stringify({ ...this.#own, beat: ++this.#beat } satisfies Sign))
  }

  release (): void {
    this.#meta.remove('owner')
  }
}
