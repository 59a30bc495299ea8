import { type AddResult, type DeadRow, type EventCounts, type EventStore, type EventStoreSettings, type NewEvent, OLDEST_GROUPS, type Turn, type TurnResult } from '../event-store.ts'
import type { SqliteDatabase } from './database.ts'
import { DeadLetters } from './dead-letters.ts'
import { Ledger, type Clock } from './counters.ts'
import { ACTIVE, WAITING } from './schema.ts'
import { Transitions } from './transitions.ts'
import { takeTurn, type TurnParts } from './worker-turn.ts'
import { Workers, type Codes } from './workers.ts'

const OLDEST = `SELECT body FROM events WHERE seq = (SELECT min(seq) FROM (${[0, 1].map(lane => `
  SELECT (SELECT min(seq) FROM events WHERE lane = ${lane} AND grp = line.id AND state = ${WAITING}) AS seq
  FROM (SELECT id FROM groups WHERE place${lane} IS NOT NULL LIMIT ${OLDEST_GROUPS}) AS line`).join(' UNION ALL ')}))`

/** Default limit for the bytes of pending events. */
const MAX_WAITING_BYTES = 1024 * 1024 * 1024
/** Time between two looks for what other processes made waiting, ms. */
const LOOK_MS = 100
/** Who is to be woken in this process, by the path of the file. */
const wakesOf = new Map<string, Set<() => void>>()

/** Keeps events in a SQLite file, for all processes that share it. */
export class SqliteEvents implements EventStore {
  readonly #db: SqliteDatabase
  readonly #settings: EventStoreSettings
  readonly #maxWaitingBytes: number
  readonly #clock: Clock = { offset: 0 }
  /** What workers of this process listen to: stored with each of their leases. */
  readonly #codes = new Map<string, Codes>()
  /** Those of `wakesOf` that this store looks for. */
  readonly #own = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #version = 0
  #arrivals = 0

  constructor (db: SqliteDatabase, settings: EventStoreSettings) {
    this.#db = db
    this.#settings = settings
    this.#maxWaitingBytes = settings.maxWaitingBytes ?? MAX_WAITING_BYTES
  }

  async add (events: readonly NewEvent[]): Promise<AddResult[]> {
    const results = await this.#write(({ transitions }) => events.map(event => transitions.add(event, this.#maxWaitingBytes)))
    this.#wake()
    return results
  }

  /** Not synced: what is lost with the power of the machine is handled again. */
  async turn (turn: Turn): Promise<TurnResult> {
    const { worker, free, leaseMs } = turn
    const { result, isNew } = await this.#write(parts => {
      const before = parts.ledger.arrivals
      const result = takeTurn(parts, turn, this.#codes.get(worker), this.#settings)
      return { result, isNew: parts.ledger.arrivals > before }
    }, { isDurable: false })
    if (leaseMs === 0) this.#codes.delete(worker)
    if (isNew && result.begun.length === free) this.#wake()
    return result
  }

  async listen (worker: string, codes: readonly string[] | undefined): Promise<void> {
    const set = codes && new Set(codes)
    await this.#write(({ workers }) => workers.listen(worker, set), { isDurable: false })
    this.#codes.set(worker, set)
  }

  async saveProgress (worker: string, seq: string, progress: string): Promise<boolean> {
    return await this.#db.write(() => this.#db.run(`UPDATE events SET progress = ? WHERE seq = ? AND state = ${ACTIVE} AND worker = (SELECT id FROM workers WHERE name = ?)`, progress, Number(seq), worker) === 1)
  }

  async counts (): Promise<EventCounts> {
    const [waiting, active, dead] = await this.#db.read(() => this.#db.get<[number, number, number]>('SELECT waiting, active, dead FROM counters')!)
    return { waiting, active, dead }
  }

  async oldestWaiting (): Promise<string | undefined> {
    return (await this.#db.read(() => this.#db.get<[string]>(OLDEST)))?.[0]
  }

  async listDead (below: number | undefined, limit: number): Promise<DeadRow[]> {
    return await this.#db.read(() => DeadLetters.list(this.#db, below, limit))
  }

  async getDead (id: string): Promise<DeadRow | undefined> {
    return await this.#db.read(() => DeadLetters.get(this.#db, id))
  }

  async replay (id: string): Promise<boolean> {
    const isReplayed = await this.#write(({ transitions }) => transitions.replay(id))
    this.#wake()
    return isReplayed
  }

  async discard (id: string): Promise<boolean> {
    return await this.#write(({ transitions }) => transitions.dead.discard(id))
  }

  async onWaiting (wake: () => void): Promise<() => void> {
    const { path } = this.#db
    const all = wakesOf.get(path) ?? new Set()
    wakesOf.set(path, all.add(wake))
    this.#own.add(wake)
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref()
    return () => {
      all.delete(wake)
      this.#own.delete(wake)
      if (all.size === 0) wakesOf.delete(path)
      if (this.#own.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #write<T> (run: (parts: TurnParts) => T, options?: { isDurable: boolean }): Promise<T> {
    return this.#db.write(() => {
      const ledger = new Ledger(this.#db, this.#clock)
      const transitions = new Transitions(this.#db, ledger)
      const result = run({ db: this.#db, ledger, transitions, workers: new Workers(this.#db, ledger, transitions) })
      ledger.save()
      return result
    }, options)
  }

  #wake (): void {
    for (const wake of wakesOf.get(this.#db.path) ?? []) wake()
  }

  /** Turns change the file too, so only new waiting events wake workers. */
  #look (): void {
    this.#db.read(() => {
      const version = this.#db.version()
      if (version === this.#version) return
      this.#version = version
      const [arrivals] = this.#db.get<[number]>('SELECT arrivals FROM counters')!
      if (arrivals === this.#arrivals) return
      this.#arrivals = arrivals
      for (const wake of this.#own) wake()
    }).catch(() => {
      // Reported by the next turn.
    })
  }
}
