import t, { type Test } from 'tap'
import type { Install } from '../../src/installs/install.ts'
import type { InstallList, InstallStore, OpenedStore, StoredInstall } from '../../src/storage/install-store.ts'
import { installStoreContract, sampleInstall, type OpenInstallStore } from '../../src/testing/install-store-contract.ts'
import { DRIVERS } from './drivers.ts'
import { storageSettings } from '../helpers/test-storage.ts'

/** What the contract opens: the store, and what ends it where something does. */
function opened (store: InstallStore & { close?: () => Promise<void> }): OpenedStore {
  return { store, close: async () => await store.close?.() }
}

async function holds (t: Test, open: OpenInstallStore): Promise<void> {
  for (const { name, run } of installStoreContract(open)) {
    await t.test(name, async t => {
      await run()
      t.pass(name)
    })
  }
}

for (const { name, prepare } of DRIVERS) {
  t.test(`installs on ${name} keep the contract`, async t => {
    const open = await prepare(t)
    await holds(t, async () => {
      const storage = await open(storageSettings('app'))
      return { store: storage.installs, close: async () => await storage.close() }
    })
    await t.test('of two that write at once, each version has one winner', async t => {
      const [one, other] = [await open(storageSettings('race')), await open(storageSettings('race'))]
      t.teardown(() => Promise.all([one.close(), other.close()]))
      const won = await Promise.all([one, other].map(async ({ installs }) => await versionsWon(installs, 'shared', 50)))
      t.strictSame(won.flat().sort((a, b) => a - b), Array.from({ length: 50 }, (_, version) => version))
      t.equal((await one.installs.get('shared'))?.version, 50)
    })
  })
}

/** Writes until a record has `last` versions. @returns the versions that it replaced */
async function versionsWon (store: InstallStore, id: string, last: number): Promise<number[]> {
  const won: number[] = []
  for (;;) {
    const version = (await store.get(id))?.version ?? 0
    if (version >= last) return won
    if (await store.swap(id, version, sampleInstall(id))) won.push(version)
  }
}

t.test('the contract passes a right store of a user and fails wrong ones', async t => {
  await holds(t, shared(MemoryStore))
  const wrong: Array<[name: string, Store: typeof MemoryStore, broken: RegExp]> = [
    ['ignores the version', class extends MemoryStore {
      override swap (id: string, _version: number, next: Install) { return super.swap(id, this.records.get(id)?.version ?? 0, next) }
    }, /lost race/],
    ['shows a record twice', class extends MemoryStore {
      override async scan (cursor?: string) {
        const { installs, ...rest } = await super.scan(cursor)
        return { installs: [...installs, ...installs.slice(-1)], ...rest }
      }
    }, /exactly once/],
    ['starts a page with the cursor', class extends MemoryStore {
      override async scan (cursor?: string) { return await super.scan(cursor?.slice(0, -1)) }
    }, /cursor/],
    ['forgets', class extends MemoryStore {
      override async close () { this.records.clear() }
    }, /closed/]
  ]
  for (const [name, Store, broken] of wrong) {
    const failed: string[] = []
    for (const { name, run } of installStoreContract(shared(Store))) await run().catch(() => failed.push(name))
    t.match(failed.join('\n'), broken, name)
  }
})

/** The smallest right store, as a user may write one. */
class MemoryStore implements InstallStore {
  readonly records: Map<string, StoredInstall>

  constructor (records: Map<string, StoredInstall>) {
    this.records = records
  }

  async get (memberId: string): Promise<StoredInstall | undefined> {
    return structuredClone(this.records.get(memberId))
  }

  async swap (memberId: string, version: number, next: Install): Promise<boolean> {
    if ((this.records.get(memberId)?.version ?? 0) !== version) return false
    this.records.set(memberId, { version: version + 1, install: structuredClone(next) })
    return true
  }

  async scan (cursor = ''): Promise<InstallList> {
    const ids = [...this.records.keys()].sort().filter(id => id > cursor).slice(0, 10)
    const installs = ids.map(id => structuredClone((this.records.get(id) as StoredInstall).install))
    return ids.length < 10 ? { installs } : { installs, cursor: ids[9] as string }
  }

  async close (): Promise<void> {}
}

function shared (Store: typeof MemoryStore): OpenInstallStore {
  const records = new Map<string, StoredInstall>()
  return () => opened(new Store(records))
}
