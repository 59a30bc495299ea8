/** What the benchmark tells a server at its start. */
export interface ServerSettings {
  clientId: string
  clientSecret: string
  redisUrl: string
  /** Start of the key of a record that the plugin wrote; the `member_id` follows. */
  installKey: string
  /** Start of the key of a record as the recipe keeps it. */
  recipeKey: string
  /** Folder for the embedded store instead of Redis. */
  dataDir?: string
  oauthServer: string
}

export function readSettings<T> (): T {
  return JSON.parse(process.env['BENCH_SETTINGS'] ?? '{}')
}

/** Says that this program is ready, answers what it is asked, and ends when the benchmark lets go of it. */
export function serveParent (ready: object, answer: (question: never) => unknown): void {
  process.on('disconnect', () => process.exit())
  process.on('message', async question => process.send!(await answer(question as never)))
  process.send!(ready)
}

/** The same of a server: it tells the CPU time that it has used, in µs. */
export function serveHttp (origin: string): void {
  serveParent({ origin }, () => {
    const { user, system } = process.cpuUsage()
    return { cpuMicros: user + system }
  })
}
