import { randomUUID } from 'node:crypto'
import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { parseJson } from './embedded-record.ts'
import type { EmbeddedTables } from './embedded-tables.ts'

interface Sign {
  pid: number
  processes: string
  beat: number
}

/** The right to handle the events of a folder: one worker has it. */
export class WorkerLease {
  readonly #id = randomUUID()
  readonly #processes = processesHere()
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
    return isGone(sign, this.#processes) || performance.now() - this.#seenAt > this.#stalledAfterMs
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
    this.#meta.put('sign', JSON.stringify({ pid: process.pid, processes: this.#processes, beat: ++this.#beat } satisfies Sign))
  }

  release (): void {
    this.#meta.remove('owner')
  }
}

/** Names the processes whose ids are of one kind: a container has others than its host. */
function processesHere (): string {
  try {
    return `${hostname()} ${statSync('/proc/self/ns/pid', { throwIfNoEntry: false })?.ino}`
  } catch {
    return hostname()
  }
}

/** Whether the process is known to have ended; of another machine or container nothing is known. */
function isGone (text: string, ours: string): boolean {
  const { pid, processes } = (parseJson(text) ?? {}) as Partial<Sign>
  if (pid === undefined || processes !== ours) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
