import t, { type Test } from 'tap'
import { SqliteInstallStore } from '../../../src/storage/sqlite/installs.ts'
import { installStoreContract, sampleInstall } from '../../../src/testing/install-store-contract.ts'
import { UNAVAILABLE, openDatabase } from './database.ts'

t.test('keeps the contract of an install store', async t => {
  const dataDir = t.testdir()
  const contract = installStoreContract(async () => {
    const db = await openDatabase(dataDir)
    return { store: new SqliteInstallStore(db), close: async () => await db.close() }
  })
  for (const { name, run } of contract) {
    await t.test(name, async t => {
      await run()
      t.pass(name)
    })
  }
})

t.test('rejects an unreadable record without quoting it', async t => {
  const { db, store } = await open(t)
  await store.swap('a', 0, sampleInstall('a'))
  for (const text of ['{"secret', 'null', '[]', JSON.stringify(sampleInstall('b'))]) {
    await db.write(() => db.run('UPDATE installs SET install = ?', text))
    await t.rejects(store.get('a'), { ...UNAVAILABLE, cause: { message: 'The record of portal a is unreadable' } })
    await t.rejects(store.scan(), { ...UNAVAILABLE, cause: { message: 'The record of portal a is unreadable' } })
  }
})

t.test('a memberId of any length is a key', async t => {
  const { store } = await open(t)
  const id = 'x'.repeat(5_000)
  t.equal(await store.swap(id, 0, sampleInstall(id)), true)
  t.equal((await store.get(id))?.version, 1)
  t.equal(await store.get('nobody'), undefined)
})

async function open (t: Test) {
  const db = await openDatabase(t.testdir())
  t.teardown(() => db.close())
  return { db, store: new SqliteInstallStore(db) }
}
