import { setImmediate } from 'node:timers/promises'
import { settle } from '../../embedded/lmdb.ts'
import { storeUnavailable } from '../../store-failure.ts'
import { withinDeadline } from '../../time/within-deadline.ts'
import type { EmbeddedTables } from './embedded-tables.ts'

/** How long a group waits for more of a burst, ms. */
const GATHER_MS = 2

type Body = () => void

/** Changes that are committed as one. */
interface Group {
  /** What is to be taken in, of each lane. */
  lines: [first: string[], others: string[]]
  /** Changes that somebody waits for; they go before others. */
  urgent: Body[]
  others: Body[]
  /** Settles with the commit. */
  committed: Promise<void>
  /** Settles with the commit too, but in time. */
  answered?: Promise<void>
}

/** Commits changes in groups: what comes while one commit is under way goes with the next one. All of a group is kept, or nothing. */
export class EmbeddedCommits {
  readonly #tables: EmbeddedTables
  #open: Group | undefined
  #last: Promise<unknown> = Promise.resolve()
  #seq = 0

  constructor (tables: EmbeddedTables) {
    this.#tables = tables
  }

  /**
   * Resolves when it is on disk, however long that takes.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async write (body: Body): Promise<void> {
    const group = this.#group()
    group.others.push(body)
    try {
      await group.committed
    } catch (error) {
      throw storeUnavailable(error)
    }
  }

  /** @throws FST_B24_STORE_UNAVAILABLE when it is not known to be on disk in time */
  writeInTime (body: Body): Promise<void> {
    const group = this.#group()
    group.urgent.push(body)
    group.answered ??= this.#inTime(group)
    return group.answered
  }

  /**
   * Takes an event in, at the least cost for it: all of a group are one entry.
   * @throws FST_B24_STORE_UNAVAILABLE when it is not known to be on disk in time
   */
  takeIn (lane: 0 | 1, line: string): Promise<void> {
    const group = this.#group()
    group.lines[lane].push(line)
    group.answered ??= this.#inTime(group)
    return group.answered
  }

  /** Number for a new record, greater than all before; only inside of a change. */
  nextSeq (): number {
    return ++this.#seq
  }

  /** Resolves when nothing is under way. */
  async idle (): Promise<void> {
    await this.#last
  }

  #group (): Group {
    if (this.#open !== undefined) return this.#open
    const group: Group = { lines: [[], []], urgent: [], others: [], committed: this.#last.then(() => this.#commit(group)) }
    this.#last = group.committed.catch(() => {})
    this.#open = group
    return group
  }

  async #commit (group: Group): Promise<void> {
    try {
      await this.#gather(group)
      this.#tables.assertThere()
      const isIntake = group.urgent.length + group.others.length === 0
      // A transaction is called back for in the middle of its work, which takes as long as the rest of it. Only of one inside of
      // another nothing is kept when a change throws.
      await settle(isIntake ? this.#putLines(group) : this.#tables.root.childTransaction(() => this.#apply(group)))
    } finally {
      this.#shut(group)
    }
  }

  /** Waits until a turn of the loop brings nothing more to take in: a commit costs as much as several requests. */
  async #gather (group: Group): Promise<void> {
    const end = performance.now() + GATHER_MS
    let count = 0
    while (countOf(group) > count && performance.now() < end) {
      count = countOf(group)
      await setImmediate()
    }
  }

  #apply (group: Group): void {
    const { meta } = this.#tables
    // What is taken in goes first: the changes of the worker find it.
    this.#putLines(group)
    const before = this.#seq = Number(meta.get('seq') ?? 0)
    for (const body of group.urgent) body()
    for (const body of group.others) body()
    if (this.#seq !== before) meta.put('seq', String(this.#seq))
  }

  /** Shuts the group, and puts what is taken in. */
  #putLines (group: Group): Promise<unknown> {
    this.#shut(group)
    return Promise.all(group.lines.map((lines, lane) => this.#tables.intake.put(lane, lines)))
  }

  /** Nothing more goes with this group. */
  #shut (group: Group): void {
    if (this.#open === group) this.#open = undefined
  }

  async #inTime (group: Group): Promise<void> {
    try {
      await withinDeadline(group.committed)
    } catch (error) {
      // Nobody waits for them any more; else they would pile up while the disk is stuck.
      group.lines = [[], []]
      group.urgent = []
      throw error
    }
  }
}

function countOf ({ lines: [first, others] }: Group): number {
  return first.length + others.length
}
