import { join } from 'node:path'
import { Redis } from 'ioredis'
import Libsql from 'libsql'
import t, { type Test } from 'tap'
import { openStorage, type StorageChoice } from '../../src/storage/open-storage.ts'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { FaultRun, PLACES } from '../helpers/fault-run.ts'
import { storageSettings } from '../helpers/test-storage.ts'
import { newStored } from '../storage/contract/trial.ts'

const EVENTS = 40
/** Bodies that somebody wrote over those of the first events. */
const BODIES = ['{"a', '', 'null', '{"id":"another","memberId":7}', '{"id":1}']

t.jobs = 2
t.setTimeout(120_000)

for (const { name, storage } of PLACES) {
  t.test(`corrupt rows and a row of another writer are dead letters, and stop no worker, ${name}`, { buffered: true }, async t => {
    const place = storage()
    const dataDir = temporaryFolder(t)
    const run = await FaultRun.open(t, place === 'SQLite' ? { dataDir } : place, { stalledAfterMs: 1_000 })
    await run.kill(await run.startInstalled())
    const receiver = await run.start({ delivery: { worker: false } })
    await run.postAll(receiver, EVENTS)
    await run.kill(receiver)
    const app = appId(run.clientId)
    await (place === 'SQLite' ? spoilFile(join(dataDir, app, 'storage.db')) : spoilRedis(appKeys(app).events))
    await addForeign(t, place === 'SQLite' ? { dataDir } : { dataDir: '', redis: process.env['REDIS_URL'] }, app)

    const worker = await run.start()
    await run.waitForIdle(worker)
    await run.postAll(worker, EVENTS)
    await run.waitForIdle(worker)
    const { items } = await worker.deadLetters()
    const { answered, handled } = run.judge(`corrupt rows, ${name}`, 0, { dead: BODIES.length })
    t.same([answered, handled, items.length], [2 * EVENTS, 2 * EVENTS - BODIES.length, BODIES.length + 1], 'the spoilt ones and that of another writer')
    t.ok(items.every(({ error }) => error.code === 'FST_B24_FOREIGN_JOB'), 'each says why')
    t.match(await worker.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: items.length } })
  })
}

async function addForeign (t: Test, choice: StorageChoice, app: string): Promise<void> {
  const storage = await openStorage(choice, storageSettings(app))
  t.teardown(() => storage.close())
  await storage.events.add([newStored({ group: 'unknown', body: '{"jobName":"resize"}' })])
}

function spoilFile (file: string): void {
  const db = new Libsql(file)
  const rows = db.prepare('SELECT seq FROM events ORDER BY seq LIMIT ?').all(BODIES.length) as Array<{ seq: number }>
  for (const [i, { seq }] of rows.entries()) db.prepare('UPDATE events SET body = ? WHERE seq = ?').run(BODIES[i], seq)
  db.close()
}

async function spoilRedis (prefix: string): Promise<void> {
  const redis = new Redis(process.env['REDIS_URL'] as string)
  const keys = await redis.keys(`${prefix}event:*`)
  for (const [i, body] of BODIES.entries()) await redis.hset(keys[i] as string, 'body', body)
  redis.disconnect()
}
