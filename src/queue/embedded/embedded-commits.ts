import { settle } from '../../embedded/lmdb.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import type { EmbeddedTables } from './embedded-tables.ts'

type Body = () => void

/** Changes that are committed as one. */
interface Group {
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
    const group: Group = { urgent: [], others: [], committed: this.#last.then(() => this.#commit(group)) }
    this.#last = group.committed.catch(() => {})
    this.#open = group
    return group
  }

  async #commit (group: Group): Promise<void> {
    try {
      this.#tables.assertThere()
      // Only of a transaction inside of another nothing is kept when a change throws.
      await settle(this.#tables.root.childTransaction(() => this.#apply(group)))
    } finally {
      this.#shut(group)
    }
  }

  #apply (group: Group): void {
    const { meta } = this.#tables
    this.#shut(group)
    const before = this.#seq = Number(meta.get('seq') ?? 0)
    for (const body of group.urgent) body()
    for (const body of group.others) body()
    if (this.#seq !== before) meta.put('seq', String(this.#seq))
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
      group.urgent = []
      throw error
    }
  }
}
