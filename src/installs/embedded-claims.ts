import { setTimeout as sleep } from 'node:timers/promises'
import type { RootDatabase } from 'lmdb'
import { openLmdb, settle } from '../embedded/lmdb.ts'
import { storeUnavailable } from '../storage/unavailable.ts'
import { withinDeadline } from '../storage/within-deadline.ts'
import { isOpen, MAX_ADMITTED_EVENTS, PENDING_INSTALL_LIFE_MS, type PendingInstall, type PendingInstalls, type PendingRecord, type PendingState, withEvent, withoutEvent } from '../storage/pending-installs.ts'
import type { Source } from '../storage/source-share.ts'

/** Keeps claims in a folder, with LMDB, for all processes of the machine that share it: each verb is a transaction. */
export class EmbeddedClaims implements PendingInstalls {
  readonly #db: RootDatabase<PendingRecord, string>
  readonly #lifeMs: number
  #closed = false

  private constructor (db: RootDatabase<PendingRecord, string>, lifeMs: number) {
    this.#db = db
    this.#lifeMs = lifeMs
  }

  /**
   * Opens `<dataDir>/<app>/claims`.
   * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
   */
  static async open (dataDir: string, app: string, lifeMs = PENDING_INSTALL_LIFE_MS): Promise<EmbeddedClaims> {
    return new EmbeddedClaims(await openLmdb(dataDir, app, 'claims', { encoding: 'json' }), lifeMs)
  }

  open (claim: PendingInstall, source: Source, eventId: string): Promise<boolean> {
    return this.#transact(() => {
      const known = this.#find(claim)
      const record = withEvent(known, this.#all(), source, eventId, Date.now() + this.#lifeMs)
      if (record !== undefined && record !== known) this.#db.putSync(keyOf(claim), record)
      return record !== undefined
    })
  }

  async stateOf (claim: PendingInstall): Promise<PendingState> {
    if (await this.#answer(async () => await this.#sees(claim, isOpen))) return 'open'
    return await this.#sees(claim, known => known !== undefined) ? 'abandoned' : 'closed'
  }

  async admitEvent (claim: PendingInstall): Promise<boolean> {
    return await this.#answer(async () => await this.#sees(claim, isOpen) && await this.#transact(() => {
      const open = this.#find(claim)
      if (!isOpen(open) || open.admitted >= MAX_ADMITTED_EVENTS) return false
      this.#db.putSync(keyOf(claim), { ...open, admitted: open.admitted + 1 })
      return true
    }))
  }

  async close (claim: PendingInstall, eventId: string): Promise<void> {
    await this.#end(claim, eventId)
  }

  async abandon (claim: PendingInstall, eventId: string): Promise<void> {
    await this.#end(claim, eventId, Date.now() + this.#lifeMs)
  }

  /** Ends the use of the folder; what is open stays open. */
  async end (): Promise<void> {
    this.#closed = true
    await this.#db.close()
  }

  #find (claim: PendingInstall): PendingRecord | undefined {
    if (this.#closed) throw storeUnavailable(new Error('The store is closed'))
    const known = this.#db.get(keyOf(claim))
    return known !== undefined && known.endsAt > Date.now() ? known : undefined
  }

  async #end (claim: PendingInstall, eventId: string, abandonedUntil?: number): Promise<void> {
    await this.#transact(() => {
      const known = this.#find(claim)
      const rest = known && withoutEvent(known, eventId, abandonedUntil)
      if (rest !== undefined) this.#db.putSync(keyOf(claim), rest)
      else this.#db.removeSync(keyOf(claim))
    })
  }

  /** Every record; forgets those whose time is over. */
  #all (): PendingRecord[] {
    const all = [...this.#db.getRange()]
    for (const { key, value } of all) if (value.endsAt <= Date.now()) this.#db.removeSync(key)
    return all.flatMap(({ value }) => value.endsAt > Date.now() ? [value] : [])
  }

  /** Looks without a transaction, as strangers may ask as often as they like; twice, for a read may be a millisecond old. */
  async #sees (claim: PendingInstall, is: (known: PendingRecord | undefined) => boolean): Promise<boolean> {
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

function keyOf ({ memberId, token }: PendingInstall): string {
  return `${memberId} ${token}`
}
