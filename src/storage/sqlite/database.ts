import { setImmediate as nextTick, setTimeout as sleep } from 'node:timers/promises'
import type Libsql from 'libsql'
import { loadPackage } from '../../load-package.ts'
import { storeUnavailable } from '../unavailable.ts'
import { failureOf, isBusy, isOfTheFile, makePrivateFile, OpenFiles } from './database-file.ts'

/** What a statement takes and gives. Booleans would end the process: the binding does not know them. A text ends at its first NUL. */
export type SqlValue = string | number | null

interface Statement {
  readonly reader: boolean
  raw (isRaw: boolean): this
  all (values: SqlValue[]): unknown[]
  get (values: SqlValue[]): unknown
  run (values: SqlValue[]): { changes: number }
}

interface Task {
  run: () => unknown
  isDurable: boolean
  endsAt: number
  resolve (value: unknown): void
  reject (error: Error): void
}

/** Time for one answer while other processes write, ms. Less than a second, so that the 503 itself comes within one. */
const DEADLINE_MS = 900
/** Time that SQLite itself waits for another process, in which nothing else happens here, ms. */
const BLOCKING_MS = 10
/** How long a reader relies on a look at the files, ms. */
const LATELY_MS = 10
/** Tasks of one transaction: what waits beside them must not wait long. */
const MOST_TASKS = 64

/**
 * One SQLite file in WAL mode, shared by any number of processes of this machine. No other file uses the binding.
 *
 * What one tick of the event loop writes is one transaction. While another process writes, it is tried again, for 900 ms.
 */
export class SqliteDatabase {
  readonly path: string
  readonly #db: Libsql.Database
  readonly #statements = new Map<string, Statement>()
  /** Of those that are there once something was written. */
  #files: OpenFiles | undefined
  #lookedAt = -Infinity
  #tasks: Task[] = []
  #flushing: Promise<void> | undefined
  #isSynced = true
  #isClosed = false

  private constructor (db: Libsql.Database, path: string) {
    this.path = path
    this.#db = db
  }

  /**
   * Opens a file, and makes it for the owner's eyes alone (0600) where there is none.
   *
   * @param prepare creates the tables or checks their version; runs in a transaction
   * @throws FST_B24_STORE_UNAVAILABLE when the file cannot be written, or is damaged
   * @throws what `prepare` throws
   */
  static async open (path: string, prepare: (db: SqliteDatabase) => void): Promise<SqliteDatabase> {
    const Database = loadPackage<new (path: string, options: { timeout: number }) => Libsql.Database>('libsql')
    let binding: Libsql.Database | undefined
    try {
      makePrivateFile(path)
      const opened = binding = new Database(path, { timeout: BLOCKING_MS })
      const db = new SqliteDatabase(opened, path)
      await untilFree(() => opened.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 2000'))
      await untilFree(() => db.#transact([{ run: () => prepare(db), isDurable: true }]))
      db.#files = new OpenFiles([path, `${path}-wal`])
      return db
    } catch (error) {
      binding?.close()
      throw failureOf(error, path)
    }
  }

  /** Rows of a query. This, `get` and `run` are for what `read` and `write` run. */
  all<Row extends SqlValue[]> (sql: string, ...values: SqlValue[]): Row[] {
    return this.#prepare(sql).all(values) as Row[]
  }

  /** The first row of a query. */
  get<Row extends SqlValue[]> (sql: string, ...values: SqlValue[]): Row | undefined {
    return this.#prepare(sql).get(values) as Row | undefined
  }

  /** Runs a statement that gives no rows; returns how many it changed. */
  run (sql: string, ...values: SqlValue[]): number {
    return this.#prepare(sql).run(values).changes
  }

  /** Runs statements without values. */
  exec (sql: string): void {
    this.#db.exec(sql)
  }

  /** Another number once another connection has written. */
  version (): number {
    return this.get<[number]>('PRAGMA data_version')![0]
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async read<T> (run: () => T): Promise<T> {
    try {
      return await untilFree(() => {
        this.#assertThereLately()
        return run()
      })
    } catch (error) {
      throw failureOf(error, this.path)
    }
  }

  /**
   * Writes in a transaction with all that this tick of the event loop writes. When it resolves, that is on disk; when it rejects,
   * nothing was written. `run` may be run more than once: what it returns last counts.
   *
   * `isDurable: false`: a machine that loses its power may lose it; a process that dies does not.
   *
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  write<T> (run: () => T, { isDurable = true } = {}): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      if (this.#isClosed) return reject(storeUnavailable(new Error('The storage is closed')))
      this.#tasks.push({ run, isDurable, endsAt: performance.now() + DEADLINE_MS, resolve, reject })
      this.#flushing ??= this.#flush()
    }) as Promise<T>
  }

  /** Writes what waits, and closes the file. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#flushing
    this.#statements.clear()
    this.#db.close()
  }

  async #flush (): Promise<void> {
    let alone = 0
    await nextTick()
    while (this.#tasks.length > 0) {
      const tasks = this.#tasks.splice(0, alone > 0 ? 1 : MOST_TASKS)
      try {
        const values = this.#transact(tasks)
        for (const [i, { resolve }] of tasks.entries()) resolve(values[i])
        await nextTick()
      } catch (error) {
        if (isBusy(error)) {
          await this.#tryAgain(tasks, error)
          continue
        }
        // One that fails because of what it was asked for must not take the others with it.
        if (tasks.length > 1 && !isOfTheFile(error)) {
          this.#tasks.unshift(...tasks)
          alone = tasks.length + 1
        } else {
          for (const { reject } of tasks) reject(failureOf(error, this.path))
        }
      }
      alone--
    }
    this.#flushing = undefined
  }

  async #tryAgain (tasks: Task[], error: unknown): Promise<void> {
    const now = performance.now()
    for (const { endsAt, reject } of tasks) if (endsAt <= now) reject(failureOf(error, this.path))
    this.#tasks.unshift(...tasks.filter(({ endsAt }) => endsAt > now))
    await pause()
  }

  #transact (tasks: ReadonlyArray<Pick<Task, 'run' | 'isDurable'>>): unknown[] {
    this.#assertThere()
    const isSynced = tasks.some(({ isDurable }) => isDurable)
    if (isSynced !== this.#isSynced) {
      this.#db.exec(`PRAGMA synchronous = ${isSynced ? 'FULL' : 'NORMAL'}`)
      this.#isSynced = isSynced
    }
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      const values = tasks.map(({ run }) => run())
      this.#db.exec('COMMIT')
      return values
    } finally {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
    }
  }

  #assertThere (): void {
    this.#files?.assertThere()
    this.#lookedAt = performance.now()
  }

  /** A look takes as long as a short read. */
  #assertThereLately (): void {
    if (this.#isClosed) throw new Error('The storage is closed')
    if (performance.now() - this.#lookedAt > LATELY_MS) this.#assertThere()
  }

  #prepare (sql: string): Statement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql) as unknown as Statement
      // Else each row has a field more, and takes twice the time.
      if (statement.reader) statement.raw(true)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/** Tries again while another process has the file, for 900 ms. */
async function untilFree<T> (attempt: () => T): Promise<T> {
  const endsAt = performance.now() + DEADLINE_MS
  for (;;) {
    try {
      return attempt()
    } catch (error) {
      if (!isBusy(error) || performance.now() >= endsAt) throw error
    }
    await pause()
  }
}

/** At random: processes that wait for each other must not do so in step. */
async function pause (): Promise<void> {
  await sleep(1 + Math.random() * 9)
}
