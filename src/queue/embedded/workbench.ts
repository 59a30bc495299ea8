import { backoffOf } from '../../storage/backoff.ts'
import type { EmbeddedDeadLetters } from './embedded-dead-letters.ts'
import { FIRST, keysOf } from './embedded-keys.ts'
import type { EventRecord } from './embedded-record.ts'
import { EmbeddedRun } from './embedded-run.ts'
import type { EventShelf } from './event-shelf.ts'
import { PortalShares } from '../portal-shares.ts'
import { PortalRing } from './portal-ring.ts'
import type { StoredLetter, Outcome, QueueSettings } from '../queue.ts'

/** Events that one change looks at, beside those it begins: others wait for the change. */
const MOST_LOOKS = 100

export interface WorkbenchParts {
  shelf: EventShelf
  dead: EmbeddedDeadLetters
  settings: Pick<QueueSettings, 'attempts' | 'backoffMs'>
  store: (run: EmbeddedRun, record: string) => Promise<void>
}

/** Whose turn it is, and what becomes of an event. All of it happens inside of a change; if that is not stored, call `rollback`. */
export class Workbench {
  readonly #parts: WorkbenchParts
  /** Items that are being handled. */
  #busy = new Set<string>()
  /** First lifecycle events, then all others. */
  readonly #rings = [new PortalRing(), new PortalRing()]
  #shares = new PortalShares(0)
  /** Portals of each lane that have their share of the places, until one of these is free. */
  readonly #full = [new Set<string>(), new Set<string>()]

  constructor (parts: WorkbenchParts) {
    this.#parts = parts
  }

  /** A worker begins, that has so many places. */
  open (places: number): void {
    this.#shares = new PortalShares(places)
  }

  get hasWaiting (): boolean {
    return this.#rings.some(ring => !ring.isEmpty)
  }

  /** Notes that the portal has something waiting. */
  announce (lane: number, portal: string): void {
    // An install may be of nobody.
    if (lane !== FIRST) this.#shares.see(portal)
    if (this.#full[lane]?.has(portal) === false) this.#rings[lane]?.add(portal)
  }

  /** Looks for all portals that have something waiting. */
  load (): void {
    for (const portals of this.#full) portals.clear()
    for (const lane of this.#rings.keys()) {
      for (const portal of this.#parts.shelf.portals(lane)) this.announce(lane, portal)
    }
  }

  clear (): void {
    for (const ring of this.#rings) ring.clear()
    this.#shares.clear()
    for (const portals of this.#full) portals.clear()
    this.#parts.shelf.forget()
    this.#busy.clear()
  }

  /** Begins up to `most`. */
  begin (most: number): EmbeddedRun[] {
    const begun: EmbeddedRun[] = []
    let looks = most + MOST_LOOKS
    for (const [lane, ring] of this.#rings.entries()) {
      while (begun.length < most && looks-- > 0) {
        const portal = ring.take()
        if (portal === undefined) break
        if (this.#shares.hasRoom(portal)) this.#beginOne(lane, portal, begun)
        else this.#full[lane]?.add(portal)
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
    this.#shares.take(portal)
    begun.push(new EmbeddedRun(seq, keys, record, store))
  }

  /** Stores what became of runs. Returns those that are dead letters. */
  settle (outcomes: ReadonlyMap<EmbeddedRun, Outcome>): StoredLetter[] {
    const { shelf } = this.#parts
    // Most of the time nothing is set aside: one look is enough for all of them.
    const { hasParked } = shelf
    if (outcomes.size > 0) this.#lookAgain()
    return Array.from(outcomes).flatMap(([{ seq, keys, record }, outcome]) => {
      const letter = this.#put(seq, record, outcome)
      this.#shares.leave(keys.portal)
      if (keys.item !== undefined) {
        this.#busy.delete(keys.item)
        if (hasParked) shelf.unpark(keys.item)
      }
      return letter
    })
  }

  #lookAgain (): void {
    for (const [lane, portals] of this.#full.entries()) {
      for (const portal of portals) this.#rings[lane]?.add(portal)
      portals.clear()
    }
  }

  #put (seq: number, record: EventRecord, outcome: Outcome): StoredLetter[] {
    const { shelf, dead, settings: { attempts, backoffMs } } = this.#parts
    const failed = { ...record, attempt: record.attempt + 1 }
    if (outcome.status === 'done') shelf.finish(seq)
    else if (outcome.status === 'later') shelf.hold(seq, record, outcome.delayMs)
    else if (outcome.status === 'dead' || failed.attempt >= attempts) return [dead.bury(seq, failed, reasonOf(outcome.error))]
    else shelf.retry(seq, failed, backoffOf(failed.attempt, backoffMs))
    return []
  }

  /** Counts an attempt whose worker died. It goes on at once. */
  revive (seq: number): StoredLetter[] {
    const { shelf, dead, settings: { attempts } } = this.#parts
    const record = shelf.record(seq)
    if (record === undefined) {
      shelf.finish(seq)
      return []
    }
    const failed = { ...record, attempt: record.attempt + 1, deaths: (record.deaths ?? 0) + 1 }
    if (failed.attempt >= attempts) return [dead.bury(seq, failed, { message: 'The process ended during the attempt' })]
    shelf.giveBack(seq, failed)
    return []
  }

  /** Gives back what was begun, as if it never had been. */
  giveBack (runs: Iterable<EmbeddedRun>): void {
    for (const { seq, record } of runs) this.#parts.shelf.giveBack(seq, record)
  }

  /** After a change that was not stored, with what goes on. Call `load` in the next one. */
  rollback (runs: Iterable<EmbeddedRun>): void {
    this.#parts.shelf.forget()
    this.#busy = new Set()
    this.#shares.clear()
    for (const { keys: { item, portal } } of runs) {
      if (item !== undefined) this.#busy.add(item)
      this.#shares.take(portal)
    }
  }
}

function reasonOf (error: unknown): StoredLetter['error'] {
  const { message, code } = (error ?? {}) as { message?: unknown, code?: unknown }
  return { message: typeof message === 'string' ? message : String(error), ...(typeof code === 'string' && { code }) }
}
