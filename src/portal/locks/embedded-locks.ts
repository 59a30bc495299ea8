import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RootDatabase } from 'lmdb'
import { openLmdb, settle } from '../../embedded/lmdb.ts'
import { storeUnavailable } from '../../storage/unavailable.ts'
import { withinDeadline } from '../../storage/within-deadline.ts'
import type { Lock, Locks } from '../../storage/locks.ts'

interface Held {
  holder: string
  /** ms since the epoch. */
  endsAt: number
  ttlMs: number
}

/** Keeps locks in a folder, with LMDB, for all processes of the machine that share it: each step is a transaction. */
export class EmbeddedLocks implements Locks {
  readonly #db: RootDatabase<Held, string>
  #isClosed = false

  private constructor (db: RootDatabase<Held, string>) {
    this.#db = db
  }

  /**
   * Opens `<dataDir>/<app>/locks`.
   * @throws FST_B24_STORE_UNAVAILABLE when the folder cannot be made or written
   */
  static async open (dataDir: string, app: string): Promise<EmbeddedLocks> {
    return new EmbeddedLocks(await openLmdb(dataDir, app, 'locks', { encoding: 'json' }))
  }

  async take (name: string, ttlMs: number): Promise<Lock | undefined> {
    // Who waits for a lock asks many times a second, and would hold up the writes of all others each time.
    if (isHeld(this.#look(name))) return undefined
    const holder = randomBytes(12).toString('base64url')
    const put = (ttlMs: number) => this.#db.putSync(name, { holder, endsAt: Date.now() + ttlMs, ttlMs })
    const isTaken = await this.#transact(() => {
      if (isHeld(this.#db.get(name))) return false
      put(ttlMs)
      return true
    })
    if (!isTaken) return undefined
    // What the holder reads next must not be as it was before: a read of LMDB may be a millisecond old.
    await sleep(1)
    const ifMine = async (work: (held: Held) => boolean) => await this.#transact(() => {
      const held = this.#db.get(name)
      return held?.holder === holder && work(held)
    })
    return {
      renew: async ttlMs => await ifMine((held) => {
        if (!isHeld(held)) return false
        put(ttlMs)
        return true
      }),
      release: async () => { await ifMine(() => this.#db.removeSync(name)).catch(() => {}) }
    }
  }

  /** Ends the use of the folder; what is held stays held until its time is over. */
  async end (): Promise<void> {
    this.#isClosed = true
    await this.#db.close()
  }

  #look (name: string): Held | undefined {
    // A read while lmdb closes would throw again later, from a timer where nobody can catch it.
    if (this.#isClosed) throw storeUnavailable(new Error('The store is closed'))
    try {
      // Else it may be a millisecond old, and of a lock that was released since.
      this.#db.resetReadTxn()
      return this.#db.get(name)
    } catch (error) {
      throw storeUnavailable(error)
    }
  }

  async #transact<T> (work: () => T): Promise<T> {
    return await withinDeadline(this.#settle(work))
  }

  async #settle<T> (work: () => T): Promise<T> {
    return await settle(this.#db.transaction(work))
  }
}

/** An end farther away than it ever was is of a clock that was set back since. */
function isHeld (held: Held | undefined): boolean {
  if (held === undefined) return false
  const left = held.endsAt - Date.now()
  return left > 0 && left <= held.ttlMs
}
