import { backoffOf } from './backoff.ts'
import type { EmbeddedDeadLetters } from './embedded-dead-letters.ts'
import { keysOf } from './embedded-keys.ts'
import type { EventRecord } from './embedded-record.ts'
import { EmbeddedRun } from './embedded-run.ts'
import type { EventShelf } from './event-shelf.ts'
import { PortalRing } from './portal-ring.ts'
import type { DeadLetter, Outcome, QueueSettings } from './queue.ts'

/** Events that one change looks at, beside those it begins: others wait for the change. */
const MOST_LOOKS = 100

export interface WorkbenchParts {
  shelf: EventShelf
  dead: EmbeddedDeadLetters
  settings: Pick<QueueSettings, 'attempts' | 'backoffMs'>
  store: (run: EmbeddedRun, record: string) => Promise<void>
}

/** What the worker has in hand, and whose turn is next. Counts as stored once `confirm` was called; else call `rollback`. */
export class Workbench {
  readonly #parts: WorkbenchParts
  readonly #runs = new Set<EmbeddedRun>()
  /** Items that are being handled. */
  #busy = new Set<string>()
  /** First lifecycle events, then all others. */
  readonly #rings = [new PortalRing(), new PortalRing()]

  constructor (parts: WorkbenchParts) {
    this.#parts = parts
  }

  get runs (): ReadonlySet<EmbeddedRun> {
    return this.#runs
  }

  get hasWaiting (): boolean {
    return this.#rings.some(ring => !ring.isEmpty)
  }

  /** Notes that the portal has something waiting. */
  announce (lane: number, portal: string): void {
    this.#rings[lane]?.add(portal)
  }

  /** Looks for all portals that have something waiting; inside of a change. */
  load (): void {
    for (const [lane, ring] of this.#rings.entries()) {
      for (const portal of this.#parts.shelf.portals(lane)) ring.add(portal)
    }
  }

  clear (): void {
    for (const ring of this.#rings) ring.clear()
    this.#runs.clear()
    this.#busy.clear()
  }

  /** Begins up to `most`; inside of a change. */
  begin (most: number): EmbeddedRun[] {
    const begun: EmbeddedRun[] = []
    let looks = most + MOST_LOOKS
    for (const [lane, ring] of this.#rings.entries()) {
      while (begun.length < most && looks-- > 0) {
        const portal = ring.take()
        if (portal === undefined) break
        this.#beginOne(lane, portal, begun)
      }
    }
    return begun
  }

  #beginOne (lane: number, portal: string, begun: EmbeddedRun[]): void {
    const { shelf, store } = this.#parts
    const seq = shelf.first(lane, portal)
    if (seq === undefined) return
    this.announce(lane, portal)
    shelf.leave(lane, portal, seq)
    const record = shelf.record(seq)
    if (record === undefined) return
    const keys = keysOf(record.event)
    if (keys.item !== undefined && this.#busy.has(keys.item)) {
      shelf.park(keys.item, seq)
      return
    }
    if (keys.item !== undefined) this.#busy.add(keys.item)
    shelf.begin(seq, keys)
    begun.push(new EmbeddedRun(seq, keys, record, store))
  }

  /** Stores what became of a run; inside of a change. Returns its dead letter, if it is one. */
  settle ({ seq, keys, record }: EmbeddedRun, outcome: Outcome): DeadLetter[] {
    const letter = this.#put(seq, record, outcome)
    if (keys.item === undefined) return letter
    this.#busy.delete(keys.item)
    this.#parts.shelf.unpark(keys.item)
    return letter
  }

  #put (seq: number, record: EventRecord, outcome: Outcome): DeadLetter[] {
    const { shelf, dead, settings: { attempts, backoffMs } } = this.#parts
    const failed = { ...record, attempt: record.attempt + 1 }
    if (outcome.status === 'done') shelf.finish(seq)
    else if (outcome.status === 'later') shelf.hold(seq, record, outcome.delayMs)
    else if (outcome.status === 'dead' || failed.attempt >= attempts) return [dead.bury(seq, failed, reasonOf(outcome.error))]
    else shelf.hold(seq, failed, backoffOf(failed.attempt, backoffMs))
    return []
  }

  /** Counts an attempt whose worker died; inside of a change. It goes on at once. */
  revive (seq: number): DeadLetter[] {
    const { shelf, dead, settings: { attempts } } = this.#parts
    const record = shelf.record(seq)
    if (record === undefined) {
      shelf.finish(seq)
      return []
    }
    const failed = { ...record, attempt: record.attempt + 1 }
    if (failed.attempt >= attempts) return [dead.bury(seq, failed, { message: 'The process ended during the attempt' })]
    shelf.giveBack(seq, failed)
    return []
  }

  /** Gives back what was begun, as if it never had been; inside of a change. */
  giveBack (runs: Iterable<EmbeddedRun>): void {
    for (const { seq, record } of runs) this.#parts.shelf.giveBack(seq, record)
  }

  /** After the change was stored. */
  confirm (begun: EmbeddedRun[], settled: EmbeddedRun[]): void {
    for (const run of begun) this.#runs.add(run)
    for (const run of settled) this.#runs.delete(run)
  }

  /** After the change was not stored. Call `load` in the next one. */
  rollback (): void {
    this.#busy = new Set([...this.#runs].flatMap(({ keys }) => keys.item ?? []))
  }
}

function reasonOf (error: unknown): DeadLetter['error'] {
  const { message, code } = (error ?? {}) as { message?: unknown, code?: unknown }
  return { message: typeof message === 'string' ? message : String(error), ...(typeof code === 'string' && { code }) }
}
