/** Environment variables for a server without the plugin. */
export interface ServerSettings {
  redisUrl: string
  /** Start of the key of a record that the plugin wrote; the `member_id` follows. */
  installKey: string
  /** Start of the key of a record as the recipe keeps it. */
  recipeKey: string
  /** Name of the bare queue. */
  queueName: string
}

export function readSettings<T> (): T {
  return JSON.parse(process.env['BENCH_SETTINGS'] ?? '{}')
}

/** Says that this program is ready, answers what it is asked, and ends when the benchmark lets go of it. */
export function serveParent (ready: object, answer: (question: never) => unknown): void {
  // No exit by the book: where LMDB is in the middle of a change, that never returns.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.on('message', async question => process.send!(await answer(question as never)))
  process.send!(ready)
}

/** The same of a server: it reports its processor time. */
export function serveHttp (origin: string): void {
  serveParent({ origin }, () => ({ cpuMicros: cpuMicros() }))
}

/** Processor time of this process, µs. */
export function cpuMicros (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** Time that can be compared between the programs of one machine, ms since the epoch, with fractions. */
export function now (): number {
  return performance.timeOrigin + performance.now()
}
