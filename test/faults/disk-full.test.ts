import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryFolder } from '../helpers/app.ts'
import { FaultRun, ownDeal } from '../helpers/fault-run.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(120_000)

t.test('the disk of SQLite is full', async t => {
  const dataDir = temporaryFolder(t)
  // So slow that events pile up, and the files have to grow.
  const run = await FaultRun.open(t, { dataDir }, { concurrency: 4, backoffMs: 50, stalledAfterMs: 1_000 })
  const program = await run.startInstalled()
  limitFiles(program.pid, `${largestFile(dataDir) + 200_000}:`)
  const load = run.load(program, { orderOf: n => ({ ...ownDeal(n), MS: '20', ...{ TEXT: 'x'.repeat(2_000) } }) })
  const refused = () => run.posts.filter(({ statusCode }) => statusCode === 503).length
  await until(() => refused() >= 20, '20 answers 503', 60_000)
  t.match(await program.health(), { store: 'ok' }, 'what is stored can be read')
  await load.stop()
  t.strictSame(run.posts.filter(({ statusCode }) => statusCode !== 200 && statusCode !== 503), [], 'no other answer')

  limitFiles(program.pid, 'unlimited:')
  await run.untilTaken(program)
  await run.waitForIdle(program)
  t.comment(`disk full: ${refused()} answers 503`)
  run.judge('disk full')
  t.match(await program.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 } })
})

/** Sets how large files of a process may grow, bytes: for a write, the limit is a full disk. Linux only, without any rights. */
function limitFiles (pid: number, size: string): void {
  const { status, error } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${size}`])
  if (status !== 0) throw error ?? new Error(`prlimit ended with status ${status}`)
}

function largestFile (folder: string): number {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return Math.max(...files.map(file => statSync(join(folder, file)).size))
}
