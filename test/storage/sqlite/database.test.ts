import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SqliteDatabase } from '../../../src/storage/sqlite/database.ts'
import { UNAVAILABLE, openDatabase } from './database.ts'

async function open (t: Test, folder = t.testdir()) {
  const db = await openDatabase(folder)
  t.teardown(() => db.close())
  return { db, folder }
}

const put = (db: SqliteDatabase, name: string) => () => db.run("INSERT INTO installs VALUES (?, 1, '')", name)
const names = async (db: SqliteDatabase) => await db.read(() => db.all<[string]>('SELECT member_id FROM installs ORDER BY rowid').flat())

t.test('one that fails because of what it asked for takes none of its transaction with it', async t => {
  const { db } = await open(t)
  const results = await Promise.allSettled(['a', 'b', 'a', 'c'].map(name => db.write(put(db, name))))
  t.strictSame(results.map(({ status }) => status), ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
  t.match(results[2], { reason: { ...UNAVAILABLE, cause: { code: 'SQLITE_CONSTRAINT_PRIMARYKEY' } } })
  t.strictSame(await names(db), ['a', 'b', 'c'])
  await db.write(put(db, 'd'))
  t.strictSame(await names(db), ['a', 'b', 'c', 'd'])
})

t.test('says so when the folder is gone, writes nothing, and goes on when it is back', async t => {
  const parent = t.testdir({ app: {} })
  const folder = join(parent, 'app')
  const { db } = await open(t, folder)
  await db.write(put(db, 'a'))
  renameSync(folder, join(parent, 'away'))
  await t.rejects(db.write(put(db, 'b')), { ...UNAVAILABLE, cause: { code: 'ESTALE', message: /storage.db was deleted or replaced while it was open/ } })
  await sleep(20)
  await t.rejects(names(db), UNAVAILABLE)
  mkdirSync(folder)
  const other = await openDatabase(folder)
  await t.rejects(db.write(put(db, 'b')), UNAVAILABLE, 'another file of the name is not the same')
  await other.close()
  rmSync(folder, { recursive: true })
  renameSync(join(parent, 'away'), folder)
  await db.write(put(db, 'c'))
  t.strictSame(await names(db), ['a', 'c'])
})

t.test('says so when the folder was deleted, or the log of the file', async t => {
  for (const name of ['', 'storage.db', 'storage.db-wal']) {
    const folder = t.testdir()
    const { db } = await open(t, folder)
    rmSync(join(folder, name), { recursive: true })
    await t.rejects(db.write(put(db, 'b')), UNAVAILABLE)
    await t.resolves(db.close())
  }
})

t.test('its files are for the owner alone, also where they were not', async t => {
  const { db, folder } = await open(t)
  await db.write(put(db, 'a'))
  const modes = () => readdirSync(folder).map(name => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)])
  t.strictSame(modes(), [['storage.db', '600'], ['storage.db-shm', '600'], ['storage.db-wal', '600']])
  const other = t.testdir({ 'storage.db': '' })
  chmodSync(join(other, 'storage.db'), 0o644)
  await open(t, other)
  t.equal(statSync(join(other, 'storage.db')).mode & 0o777, 0o600)
})

t.test('does not open what is damaged, and says what to do', async t => {
  const folder = t.testdir({ 'storage.db': 'no database '.repeat(1_000) })
  await t.rejects(openDatabase(folder), { ...UNAVAILABLE, cause: { code: 'SQLITE_NOTADB', message: /storage.db is damaged, or is no database .*: put a copy of it back, or move it away/ } })
})

t.test('reports corruption found later', async t => {
  const folder = t.testdir()
  const { db } = await open(t, folder)
  await db.write(() => { for (let i = 0; i < 20_000; i++) put(db, `${i}`)() })
  await db.read(() => db.exec('PRAGMA wal_checkpoint(TRUNCATE)'))
  await db.close()
  const file = join(folder, 'storage.db')
  const size = statSync(file).size
  t.ok(size > 100_000)
  writeFileSync(file, Buffer.alloc(size - 40_960, 7), { flag: 'r+' })
  await t.rejects(openDatabase(folder), UNAVAILABLE)
})

t.test('does not open a file of another layout', async t => {
  for (const change of ['PRAGMA user_version = 999', 'PRAGMA user_version = 0']) {
    const { db, folder } = await open(t)
    await db.read(() => db.exec(change))
    const layout = change.slice(-3).trim().replace(/^= /, '')
    await t.rejects(openDatabase(folder), { code: 'FST_B24_STORAGE_LAYOUT', message: `Storage has layout ${layout}, ` })
  }
})

t.test('does not open where it cannot make a file', async t => {
  await t.rejects(openDatabase(join(t.testdir(), 'nowhere')), { ...UNAVAILABLE, cause: { code: 'ENOENT' } })
  await t.rejects(openDatabase(join(t.testdir({ file: '' }), 'file')), { ...UNAVAILABLE, cause: { code: 'ENOTDIR' } })
})

t.test('answers nothing once it is closed, but writes what was asked for before', async t => {
  const { db, folder } = await open(t)
  const written = db.write(put(db, 'a'))
  const closing = db.close()
  await t.rejects(db.write(put(db, 'b')), UNAVAILABLE)
  await Promise.all([written, closing])
  await t.rejects(names(db), UNAVAILABLE)
  await db.close()
  const { db: again } = await open(t, folder)
  t.strictSame(await names(again), ['a'])
})

t.test('while another holds the file, writes are 503 within a second and reads go on; then all is well', async t => {
  const { db, folder } = await open(t)
  const { db: other } = await open(t, folder)
  await db.write(put(db, 'a'))
  await other.read(() => other.exec('BEGIN IMMEDIATE'))
  const began = performance.now()
  let ticks = 0
  const timer = setInterval(() => ticks++, 10)
  const answers = await Promise.allSettled([db.write(put(db, 'b')), sleep(500).then(async () => await db.write(put(db, 'c')))])
  clearInterval(timer)
  t.match(answers.map(answer => (answer as PromiseRejectedResult).reason), [1, 2].map(() => ({ ...UNAVAILABLE, cause: { code: 'SQLITE_BUSY', message: `Another process keeps ${db.path} locked` } })))
  const took = performance.now() - began
  t.ok(took >= 1_400 && took < 1_550, `${took} ms, each has its own time`)
  t.ok(ticks > 40, `the event loop goes on: ${ticks} ticks`)
  t.strictSame(await names(db), ['a'])
  const soon = db.write(put(db, 'd'))
  await sleep(100)
  await other.read(() => other.exec('ROLLBACK'))
  await soon
  t.strictSame(await names(db), ['a', 'd'])
})
