import { chmodSync, chownSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { appId } from '../../src/storage/redis/keys.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { FaultRun, ownDeal } from '../helpers/fault-run.ts'
import { until } from '../helpers/until.ts'

const NOBODY = 65_534
const isRoot = process.getuid?.() === 0

t.jobs = 3
t.setTimeout(120_000)

const DELIVERY = { concurrency: 4, backoffMs: 50, stalledAfterMs: 1_000 }
const slowly = (n: number) => ({ ...ownDeal(n), MS: '20' })

t.test('while the dataDir of an app that runs is away the answer is 503, and when it is back nothing is missing', { buffered: true }, async t => {
  const dataDir = temporaryFolder(t)
  const run = await FaultRun.open(t, { dataDir }, DELIVERY)
  const program = await run.startInstalled()
  const folder = join(dataDir, appId(run.clientId))
  const load = run.load(program, { orderOf: slowly })
  const refused = () => run.posts.filter(({ statusCode }) => statusCode === 503).length
  await until(() => run.posts.length >= 50, 'it is under load')
  renameSync(folder, `${folder}-away`)
  await until(() => refused() >= 30, '30 answers 503')
  t.match(await program.health(), { store: 'unavailable' })
  renameSync(`${folder}-away`, folder)
  await run.untilTaken(program)
  await load.stop()
  await run.waitForIdle(program)
  t.strictSame(run.posts.filter(({ statusCode }) => statusCode !== 200 && statusCode !== 503), [], 'no other answer')
  t.comment(`dataDir away: ${refused()} answers 503`)
  run.judge('dataDir away')
})

t.test('an app whose dataDir was deleted answers 503 and says what to do; a new one begins with nothing', { buffered: true }, async t => {
  const dataDir = temporaryFolder(t)
  const run = await FaultRun.open(t, { dataDir }, DELIVERY)
  const program = await run.startInstalled()
  await run.postAll(program, 20, { MS: '5' })
  await run.waitForIdle(program)
  rmSync(dataDir, { recursive: true })
  const first = run.posts.length
  const answers = await run.postAll(program, 20)
  t.ok(answers.every(({ statusCode }) => statusCode === 503), 'nothing is answered 200 that is nowhere')
  t.match(program.log(), /storage\.db was deleted or replaced while it was open: put it back, or start the process again/)
  run.judge('dataDir deleted, before', 0)
  program.signal('SIGTERM')
  t.equal(await program.ended, 0, 'it ends in good order')
  const again = await run.startInstalled()
  const { length } = run.posts
  await run.postAll(again, 20)
  await run.waitForIdle(again)
  const { answered } = run.judge('dataDir deleted, a new process', length)
  t.equal(answered, 20)
  t.ok(length > first)
})

t.test('an app whose dataDir became read-only loses nothing, and does not start again before it may write', { buffered: true, skip: !isRoot && 'needs root, to run the app as another user' }, async t => {
  const dataDir = temporaryFolder(t)
  const run = await FaultRun.open(t, { dataDir }, DELIVERY)
  const ownedBy = (uid: number, folderMode: number, fileMode: number) => {
    for (const name of ['', ...readdirSync(dataDir, { recursive: true, encoding: 'utf8' })]) {
      const path = join(dataDir, name)
      chownSync(path, uid, uid)
      chmodSync(path, statSync(path).isDirectory() ? folderMode : fileMode)
    }
  }
  ownedBy(NOBODY, 0o700, 0o600)
  run.allow(NOBODY)
  const program = await run.startInstalled({ uid: NOBODY })
  const load = run.load(program, { orderOf: slowly })
  await until(() => run.posts.length >= 50, 'it is under load')
  ownedBy(0, 0o555, 0o444)
  const first = run.posts.length
  await until(() => run.posts.length >= first + 200, 'it answers on')
  await load.stop()
  const counts = [200, 503].map(code => run.posts.slice(first).filter(({ statusCode }) => statusCode === code).length)
  t.comment(`dataDir read-only: ${counts.join(' answers 200, ')} answers 503 meanwhile`)
  t.equal(counts[0]! + counts[1]!, run.posts.length - first, 'no other answer')
  await run.kill(program)
  const refused = await run.start({ uid: NOBODY }).then(() => '', (error: Error) => error.message)
  t.match(refused, /ended with 1, .*FST_B24_STORE_UNAVAILABLE/s)
  t.match(refused, /option dataDir .*(EACCES|EPERM|READONLY)/s, 'it says which folder, and why')
  ownedBy(NOBODY, 0o700, 0o600)
  const again = await run.start({ uid: NOBODY })
  await run.waitForIdle(again)
  run.judge('dataDir read-only')
})
