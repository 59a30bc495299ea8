import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Install } from '../installs/install.ts'
import type { InstallStore, OpenedStore } from '../storage/install-store.ts'

/** One requirement of the plugin; `run` rejects with an `AssertionError` if the store does not meet it. */
export interface ContractCase {
  name: string
  run (): Promise<void>
}

/** Opens the store; all calls share the same records. */
export type OpenInstallStore = () => Promise<OpenedStore> | OpenedStore

type Check = (store: InstallStore, open: OpenInstallStore) => Promise<void>

/**
 * Returns the contract tests of an `InstallStore`, for any test runner:
 *
 *     for (const { name, run } of installStoreContract(() => openOwnStore(url))) test(name, run)
 *
 * The tests write about 600 records under random ids and do not delete them: use a separate store.
 */
export function installStoreContract (open: OpenInstallStore): ContractCase[] {
  return Object.entries(CHECKS).map(([name, check]) => ({ name, run: () => withStore(open, check) }))
}

const CHECKS: Record<string, Check> = {
  async 'returns undefined for an unknown portal' (store) {
    assert.equal(await store.get(newId()), undefined)
  },

  async 'writes a first record with version 0 and reads it back as version 1' (store) {
    const install = sampleInstall(newId())
    assert.equal(await store.swap(install.memberId, 0, install), true)
    assert.deepEqual(await store.get(install.memberId), { version: 1, install })
  },

  async 'adds one to the version with each swap' (store) {
    const install = sampleInstall(newId())
    for (let version = 0; version < 12; version++) {
      assert.equal(await store.swap(install.memberId, version, { ...install, ts: version }), true)
      assert.deepEqual(await store.get(install.memberId), { version: version + 1, install: { ...install, ts: version } })
    }
  },

  async 'reports a lost race and keeps the record' (store) {
    const install = sampleInstall(newId())
    await store.swap(install.memberId, 0, install)
    for (const version of [0, 2, 10, 11]) {
      assert.equal(await store.swap(install.memberId, version, { ...install, domain: 'late.example' }), false)
    }
    assert.deepEqual(await store.get(install.memberId), { version: 1, install })
  },

  async 'does not create a record for a version other than 0' (store) {
    const install = sampleInstall(newId())
    assert.equal(await store.swap(install.memberId, 1, install), false)
    assert.equal(await store.get(install.memberId), undefined)
  },

  async 'lets exactly one of 50 concurrent swaps win, for each version' (store, open) {
    await withStore(open, async (other) => {
      const id = newId()
      for (let version = 0; version < 5; version++) {
        const rivals = Array.from({ length: 50 }, (_, i) => sampleInstall(id, { domain: `${i}.example` }))
        const won = await Promise.all(rivals.map((rival, i) => (i % 2 === 0 ? store : other).swap(id, version, rival)))
        assert.equal(won.filter(Boolean).length, 1)
        assert.deepEqual(await store.get(id), { version: version + 1, install: rivals[won.indexOf(true)] })
      }
    })
  },

  async 'shares records between open stores' (store, open) {
    const install = sampleInstall(newId())
    await withStore(open, async (other) => {
      await other.swap(install.memberId, 0, install)
      assert.deepEqual(await store.get(install.memberId), { version: 1, install })
    })
  },

  async 'accepts every memberId of 64 letters, digits, dots, dashes and underscores' (store) {
    for (const id of ['a'.repeat(64 - 32) + newId(), `${newId()}.a-b_c`, `UPPER.${newId()}`, `0.${newId()}`]) {
      const install = sampleInstall(id)
      assert.equal(await store.swap(id, 0, install), true)
      assert.deepEqual(await store.get(id), { version: 1, install })
      assert.equal(await store.get(id.slice(0, -1)), undefined)
    }
  },

  async 'preserves Unicode, spaces, line breaks and absent properties' (store) {
    const install = sampleInstall(newId(), { domain: 'пример.рф 🏢 "quoted"\n\u2028 {}', scope: [] })
    delete install.installer
    await store.swap(install.memberId, 0, install)
    assert.deepEqual(await store.get(install.memberId), { version: 1, install })
  },

  async 'scans every record exactly once, in order, during writes' (store) {
    const installs = await writeMany(store, 250)
    const busy = keepWriting(store, installs)
    const seen = await walk(store).finally(busy.stop)
    assert.deepEqual(seen, [...seen].sort(), 'in the order of memberId')
    assert.equal(new Set(seen).size, seen.length, 'none twice')
    const missed = installs.filter(({ memberId }) => !seen.includes(memberId))
    assert.deepEqual(missed, [], 'none left out')
  },

  async 'ends a scan that starts after the last record' (store) {
    await writeMany(store, 3)
    assert.deepEqual(await store.scan('~'.repeat(64)), { installs: [] })
  },

  async 'continues a scan after the cursor' (store) {
    await writeMany(store, 3)
    const [first, second] = await walk(store)
    const { installs } = await store.scan(first)
    assert.equal(installs[0]?.memberId, second)
  },

  async 'keeps all records when closed and opened again' (_, open) {
    let installs: Install[] = []
    await withStore(open, async (store) => { installs = await writeMany(store, 20) })
    await withStore(open, async (store) => {
      for (const install of installs) assert.deepEqual(await store.get(install.memberId), { version: 1, install })
    })
  }
}

async function withStore (open: OpenInstallStore, check: Check): Promise<void> {
  const { store, close } = await open()
  try {
    await check(store, open)
  } finally {
    await close()
  }
}

/** Creates a realistic record, with random values where genuine ones are random. */
export function sampleInstall (memberId: string, over: Partial<Install> = {}): Install {
  return {
    memberId,
    state: 'active',
    domain: 'acme-industries.bitrix24.com',
    clientEndpoint: 'https://acme-industries.bitrix24.com/rest/',
    oauthServer: 'https://oauth.bitrix24.tech',
    token: randomBytes(32).toString('base64url'),
    installer: { encrypted: randomBytes(225).toString('base64url'), userId: 1, expiresAt: 1_790_000_000_000 },
    scope: ['crm', 'task', 'user_brief', 'placement'],
    status: 'S',
    version: '12',
    ts: 1_789_999_990,
    installedAt: 1_789_000_000_000,
    updatedAt: 1_789_999_990_123,
    ...over
  }
}

function newId (): string {
  return randomBytes(16).toString('hex')
}

async function writeMany (store: InstallStore, count: number): Promise<Install[]> {
  const installs = Array.from({ length: count }, () => sampleInstall(newId()))
  const written = await Promise.all(installs.map((install) => store.swap(install.memberId, 0, install)))
  assert.deepEqual(written, installs.map(() => true))
  return installs
}

/** Updates the given records and adds new ones until stopped. */
function keepWriting (store: InstallStore, installs: Install[]): { stop (): Promise<void> } {
  const work = { going: true }
  const writing = (async () => {
    for (let round = 0; work.going; round++) {
      const install = installs[round % installs.length] as Install
      const stored = await store.get(install.memberId)
      assert.ok(stored)
      assert.equal(await store.swap(install.memberId, stored.version, { ...install, ts: round }), true)
      await writeMany(store, 1)
      await nextTurn()
    }
  })()
  return {
    stop: () => {
      work.going = false
      return writing
    }
  }
}

async function walk (store: InstallStore): Promise<string[]> {
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = await store.scan(cursor)
    seen.push(...page.installs.map(({ memberId }) => memberId))
    assert.notEqual(page.cursor ?? '', cursor, 'the cursor moves on')
    cursor = page.cursor
    await nextTurn()
  } while (cursor !== undefined)
  return seen
}

/** Yields to the event loop, so that scan and writers interleave even if a store responds immediately. */
function nextTurn (): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
