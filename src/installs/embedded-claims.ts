import { setTimeout as sleep } from 'node:timers/promises'
import type { RootDatabase } from 'lmdb'
import { openLmdb, settle } from '../embedded/lmdb.ts'
import { storeUnavailable } from '../storage/unavailable.ts'
import { withinDeadline } from '../storage/within-deadline.ts'
import { CLAIM_LIFE_MS, MOST_HELD, MOST_OF_CLAIM, MOST_OF_SOURCE, mostOfSource, type PendingInstall, type PendingInstalls, type PendingState } from '../storage/pending-installs.ts'

interface ClaimRecord {
  source: string
  /** ms since the epoch. */
  endsAt: number
  held: number
  /** Ids of the events that make it and are not settled. */
  events: string[]
  /** One of them was given up. */
  isLost: boolean
}

/** Keeps claims in a folder, with LMDB, for all processes of the machine that share it: each verb is a transaction. */
export class EmbeddedClaims implements PendingInstalls {
  readonly #db: RootDatabase<ClaimRecord, string>
  readonly #lifeMs: number
  #closed = false

  private constructor (db: RootDatabase<ClaimRecord, string>, lifeMs: number) {
    this.#db = db
    this.#lifeMs = lifeMs
  }

  /**
   * Opens `<dataDir>/<app>/claims`.
   * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
   */
  static async open (dataDir: string, app: string, lifeMs = CLAIM_LIFE_MS): Promise<EmbeddedClaims> {
    return new EmbeddedClaims(await openLmdb(dataDir, app, 'claims', { encoding: 'json' }), lifeMs)
  }

  open (claim: PendingInstall, source: string, eventId: string): Promise<boolean> {
    return this.#transact(() => {
      const known = this.#find(claim)
      if (known?.events.includes(eventId) === true) return true
      const open = isOpen(known) ? known : { source, endsAt: Date.now() + this.#lifeMs, held: 0, events: [], isLost: false }
      const { own, events, others } = this.#count(open.source)
      if (open !== known && own >= mostOfSource(others)) return false
      if (open.events.length >= MOST_OF_CLAIM || events >= MOST_OF_SOURCE) return false
      this.#db.putSync(keyOf(claim), { ...open, events: [...open.events, eventId] })
      return true
    })
  }

  async stateOf (claim: PendingInstall): Promise<PendingState> {
    if (await this.#answer(async () => await this.#sees(claim, isOpen))) return 'open'
    return await this.#sees(claim, known => known !== undefined) ? 'lost' : 'closed'
  }

  async hold (claim: PendingInstall): Promise<boolean> {
    return await this.#answer(async () => await this.#sees(claim, isOpen) && await this.#transact(() => {
      const open = this.#find(claim)
      if (!isOpen(open) || open.held >= MOST_HELD) return false
      this.#db.putSync(keyOf(claim), { ...open, held: open.held + 1 })
      return true
    }))
  }

  async close (claim: PendingInstall, eventId: string): Promise<void> {
    await this.#transact(() => {
      const known = this.#find(claim)
      if (known?.events.includes(eventId) === true) this.#put(claim, { ...known, events: known.events.filter(id => id !== eventId) })
    })
  }

  async lose (claim: PendingInstall, eventId: string): Promise<void> {
    await this.#transact(() => {
      const { source, held, events } = this.#find(claim) ?? { source: '', held: 0, events: [] }
      this.#put(claim, { source, held, events: events.filter(id => id !== eventId), endsAt: Date.now() + this.#lifeMs, isLost: true })
    })
  }

  /** Ends the use of the folder; what is open stays open. */
  async end (): Promise<void> {
    this.#closed = true
    await this.#db.close()
  }

  #find (claim: PendingInstall): ClaimRecord | undefined {
    if (this.#closed) throw storeUnavailable(new Error('The store is closed'))
    const known = this.#db.get(keyOf(claim))
    return known !== undefined && known.endsAt > Date.now() ? known : undefined
  }

  #put (claim: PendingInstall, record: ClaimRecord): void {
    if (record.events.length > 0 || record.isLost) this.#db.putSync(keyOf(claim), record)
    else this.#db.removeSync(keyOf(claim))
  }

  /** Counts the open claims of a source, the events that make them, and the claims of all others; forgets those whose time is over. */
  #count (source: string): { own: number, events: number, others: number } {
    const count = { own: 0, events: 0, others: 0 }
    for (const { key, value } of [...this.#db.getRange()]) {
      if (value.endsAt <= Date.now()) {
        this.#db.removeSync(key)
      } else if (isOpen(value) && value.source === source) {
        count.own++
        count.events += value.events.length
      } else if (isOpen(value)) {
        count.others++
      }
    }
    return count
  }

  /** Looks without a transaction, as strangers may ask as often as they like; twice, for a read may be a millisecond old. */
  async #sees (claim: PendingInstall, is: (known: ClaimRecord | undefined) => boolean): Promise<boolean> {
    try {
      if (is(this.#find(claim))) return true
      await sleep(1)
      return is(this.#find(claim))
    } catch (error) {
      throw storeUnavailable(error)
    }
  }

  /** After a no the caller reads the install, and must not see it as it was before another process closed the claim. */
  async #answer (question: () => Promise<boolean>): Promise<boolean> {
    const answer = await question()
    if (!answer) await sleep(1)
    return answer
  }

  async #transact<T> (work: () => T): Promise<T> {
    return await withinDeadline(this.#settle(work))
  }

  async #settle<T> (work: () => T): Promise<T> {
    return await settle(this.#db.transaction(work))
  }
}

function isOpen (known: ClaimRecord | undefined): known is ClaimRecord {
  return known !== undefined && known.events.length > 0
}

function keyOf ({ memberId, token }: PendingInstall): string {
  return `${memberId} ${token}`
}
