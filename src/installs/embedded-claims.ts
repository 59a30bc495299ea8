import { setTimeout as sleep } from 'node:timers/promises'
import type { RootDatabase } from 'lmdb'
import { openLmdb, settle } from '../embedded/lmdb.ts'
import { storeUnavailable, withinDeadline } from '../redis/deadline.ts'
import { CLAIM_LIFE_MS, MOST_HELD, mostOfSource, type Claim, type Claims } from './claims.ts'

interface OpenClaim {
  source: string
  /** ms since the epoch. */
  endsAt: number
  held: number
}

/** Keeps claims in a folder, with LMDB, for all processes of the machine that share it: each verb is a transaction. */
export class EmbeddedClaims implements Claims {
  readonly #db: RootDatabase<OpenClaim, string>
  readonly #lifeMs: number

  private constructor (db: RootDatabase<OpenClaim, string>, lifeMs: number) {
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

  open (claim: Claim, source: string): Promise<boolean> {
    return this.#transact(() => {
      if (this.#find(claim) !== undefined) return true
      const { own, others } = this.#count(source)
      if (own >= mostOfSource(others)) return false
      this.#db.putSync(keyOf(claim), { source, endsAt: Date.now() + this.#lifeMs, held: 0 })
      return true
    })
  }

  async isOpen (claim: Claim): Promise<boolean> {
    return await this.#answer(async () => await this.#sees(claim))
  }

  async hold (claim: Claim): Promise<boolean> {
    return await this.#answer(async () => await this.#sees(claim) && await this.#transact(() => {
      const open = this.#find(claim)
      if (open === undefined || open.held >= MOST_HELD) return false
      this.#db.putSync(keyOf(claim), { ...open, held: open.held + 1 })
      return true
    }))
  }

  async close (claim: Claim): Promise<void> {
    await this.#transact(() => this.#db.removeSync(keyOf(claim)))
  }

  /** Ends the use of the folder; what is open stays open. */
  async end (): Promise<void> {
    await this.#db.close()
  }

  #find (claim: Claim): OpenClaim | undefined {
    const open = this.#db.get(keyOf(claim))
    return open !== undefined && open.endsAt > Date.now() ? open : undefined
  }

  /** Counts the claims of a source and of all others, and forgets those whose time is over. */
  #count (source: string): { own: number, others: number } {
    const count = { own: 0, others: 0 }
    for (const { key, value } of [...this.#db.getRange()]) {
      if (value.endsAt <= Date.now()) this.#db.removeSync(key)
      else count[value.source === source ? 'own' : 'others']++
    }
    return count
  }

  /** Looks without a transaction, as strangers may ask as often as they like; twice, for a read may be a millisecond old. */
  async #sees (claim: Claim): Promise<boolean> {
    try {
      if (this.#find(claim) !== undefined) return true
      await sleep(1)
      return this.#find(claim) !== undefined
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

function keyOf ({ memberId, token }: Claim): string {
  return `${memberId} ${token}`
}
