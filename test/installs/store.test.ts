import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { open } from 'lmdb'
import t, { type Test } from 'tap'
import { EmbeddedInstallStore } from '../../src/installs/embedded-store.ts'
import type { Install } from '../../src/installs/install.ts'
import { decodeRecord, encodeRecord } from '../../src/storage/install-record.ts'
import { RedisInstallStore } from '../../src/storage/redis/installs.ts'
import type { InstallPage, InstallStore, OpenedStore, StoredInstall } from '../../src/storage/install-store.ts'
import type { BoundedClient } from '../../src/storage/redis/client.ts'
import { connectRedis, type RedisOption } from '../../src/storage/redis/connect.ts'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { installStoreContract, sampleInstall, type OpenInstallStore } from '../../src/testing/install-store-contract.ts'
import { startProgram } from '../helpers/program.ts'
import { raceForVersions } from '../helpers/race-for-versions.ts'
import { startRedisCluster } from '../helpers/redis-cluster.ts'
import { startRedis, type RedisServer } from '../helpers/redis-server.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

/** An app of its own for each test, so that runs on one Redis do not meet. */
function newApp (): string {
  return appId(`local.${randomBytes(16).toString('hex')}`)
}

async function server (t: Test, args: string[] = []): Promise<RedisServer> {
  const redis = await startRedis({ args })
  t.teardown(() => redis.stop())
  return redis
}

async function client (t: Test, option: RedisOption): Promise<BoundedClient> {
  const { client, close } = await connectRedis(option, () => {})
  t.teardown(close)
  return client
}

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

t.test('RedisInstallStore', async t => {
  const url = process.env['REDIS_URL'] || (await server(t)).url
  const raw = new Redis(url)
  t.teardown(() => raw.disconnect())
  const redis = await client(t, url)

  await t.test('keeps the contract', async t => {
    const app = newApp()
    t.teardown(async () => {
      await raw.del(...await raw.keys(`b24:{${app}}:*`))
    })
    await holds(t, () => opened(new RedisInstallStore(redis, app)))
  })

  await t.test('keeps the contract on a Cluster of three nodes', async t => {
    const nodes = await startRedisCluster()
    t.teardown(() => nodes.stop())
    const cluster = nodes.client()
    t.teardown(() => cluster.disconnect())
    const app = newApp()
    const bounded = await client(t, cluster)
    await holds(t, () => opened(new RedisInstallStore(bounded, app)))
  })

  await t.test('one app does not see the installs of another', async t => {
    const app = newApp()
    const store = new RedisInstallStore(redis, app)
    const install = sampleInstall('a')
    await store.swap('a', 0, install)
    t.teardown(() => raw.del(appKeys(app).install('a'), appKeys(app).installs))
    const other = new RedisInstallStore(redis, newApp())
    t.equal(await other.get('a'), undefined)
    t.strictSame(await other.scan(), { installs: [] })
  })

  await t.test('knows its own write when a lost connection repeats it', async t => {
    const app = newApp()
    const keys = appKeys(app)
    t.teardown(() => raw.del(keys.install('a'), keys.installs))
    const sent: Array<[string, number, ...Array<string | number>]> = []
    const store = new RedisInstallStore({
      ...redis,
      eval: (...command) => {
        sent.push(command)
        return redis.eval(...command)
      }
    }, app)
    t.equal(await store.swap('a', 0, sampleInstall('a')), true)
    t.equal(await redis.eval(...sent[0] as typeof sent[0] & {}), 1, 'the same command again is told as done')
    t.equal((await store.get('a'))?.version, 1)
    t.equal(await store.swap('a', 0, sampleInstall('a')), false, 'a rival with the same version is not')
  })

  await t.test('a full Redis takes nothing and says so', async t => {
    const full = await server(t, ['--maxmemory-policy', 'noeviction'])
    const admin = new Redis(full.url)
    t.teardown(() => admin.disconnect())
    const store = new RedisInstallStore(await client(t, full.url), newApp())
    const install = sampleInstall('a')
    await store.swap('a', 0, install)
    await admin.config('SET', 'maxmemory', '1mb')
    await t.rejects(store.swap('a', 1, { ...install, domain: 'new.example' }), { ...UNAVAILABLE, cause: { message: /^OOM/ } })
    await t.rejects(store.swap('b', 0, sampleInstall('b')), UNAVAILABLE)
    t.strictSame(await store.get('a'), { version: 1, install })
    t.equal(await store.get('b'), undefined)
    t.strictSame(await store.scan(), { installs: [install] })
    await admin.config('SET', 'maxmemory', '0')
    t.equal(await store.swap('b', 0, sampleInstall('b')), true)
  })

  await t.test('tells a record that it cannot read, and does not quote it', async t => {
    const app = newApp()
    const keys = appKeys(app)
    const store = new RedisInstallStore(redis, app)
    await store.swap('a', 0, sampleInstall('a'))
    t.teardown(() => raw.del(keys.install('a'), keys.installs))
    const whole = encodeRecord(1, sampleInstall('a'))
    for (const value of ['', 'sealed-text', '1.x {"sealed-text', '1.x null', '1.x []', whole.slice(0, -1), whole.slice(1), encodeRecord(1, sampleInstall('b'))]) {
      await raw.set(keys.install('a'), value)
      for (const read of [store.get('a'), store.scan()]) {
        const error = await read.catch(error => error)
        t.match(error, { ...UNAVAILABLE, cause: { message: 'The record of portal a is unreadable' } })
      }
    }
    t.strictSame(decodeRecord('a', whole).version, 1)
    await raw.del(keys.install('a'))
    t.strictSame(await store.scan(), { installs: [] }, 'a record that someone deleted is no error')
  })
})

t.test('EmbeddedInstallStore', async t => {
  await t.test('keeps the contract', async t => {
    const dataDir = t.testdir()
    await holds(t, async () => opened(await EmbeddedInstallStore.open(dataDir, 'app')))
  })

  await t.test('makes a folder for the app that only its owner can read', async t => {
    const dataDir = join(t.testdir(), 'new', '.bitrix24')
    const app = newApp()
    const store = await EmbeddedInstallStore.open(dataDir, app)
    t.teardown(() => store.close())
    t.equal(statSync(join(dataDir, app)).mode & 0o777, 0o700)
    t.equal(statSync(dataDir).mode & 0o777, 0o700)
    t.ok(statSync(join(dataDir, app, 'installs', 'data.mdb')).isFile())
  })

  await t.test('does not start where it cannot write', async t => {
    const dataDir = t.testdir()
    writeFileSync(join(dataDir, 'file'), '')
    await t.rejects(EmbeddedInstallStore.open(join(dataDir, 'file'), 'app'), { ...UNAVAILABLE, cause: { code: 'ENOTDIR' } })
    writeFileSync(join(dataDir, 'app'), '')
    chmodSync(join(dataDir, 'app'), 0o400)
    await t.rejects(EmbeddedInstallStore.open(dataDir, 'app'), UNAVAILABLE)
  })

  await t.test('answers nothing once it is closed', async t => {
    const store = await EmbeddedInstallStore.open(t.testdir(), 'app')
    await store.swap('a', 0, sampleInstall('a'))
    await store.get('a')
    const closing = store.close()
    await t.rejects(store.get('a'), UNAVAILABLE, 'not even while it closes')
    await closing
    for (const verb of [store.get('a'), store.swap('a', 1, sampleInstall('a')), store.scan()] as Array<Promise<unknown>>) {
      await t.rejects(verb, UNAVAILABLE)
    }
    await store.close()
  })

  await t.test('says so when its folder is gone', async t => {
    const dataDir = t.testdir()
    const store = await EmbeddedInstallStore.open(dataDir, 'app')
    t.teardown(() => store.close())
    await store.swap('m', 0, sampleInstall('m'))
    renameSync(join(dataDir, 'app'), join(dataDir, 'away'))
    await t.rejects(store.swap('m', 1, sampleInstall('m')), UNAVAILABLE)
    await sleep(20)
    await t.rejects(store.get('m'), UNAVAILABLE)
    await t.rejects(store.scan(), UNAVAILABLE)
    renameSync(join(dataDir, 'away'), join(dataDir, 'app'))
    t.match(await store.get('m'), { version: 1 })
  })

  await t.test('tells a record that it cannot read', async t => {
    const dataDir = t.testdir()
    const store = await EmbeddedInstallStore.open(dataDir, 'app')
    t.teardown(() => store.close())
    const db = open<string, string>({ path: join(dataDir, 'app', 'installs'), encoding: 'string', useVersions: true, overlappingSync: false })
    t.teardown(() => db.close())
    await db.put('a', '{"sealed', 1)
    await t.rejects(store.get('a'), { ...UNAVAILABLE, cause: { message: 'The record of portal a is unreadable' } })
    await t.rejects(store.scan(), UNAVAILABLE)
  })

  await t.test('a memberId that LMDB cannot take is an error, not a crash', async t => {
    const store = await EmbeddedInstallStore.open(t.testdir(), 'app')
    t.teardown(() => store.close())
    const id = 'x'.repeat(5000)
    await t.rejects(store.get(id), UNAVAILABLE)
    await t.rejects(store.swap(id, 0, sampleInstall(id)), UNAVAILABLE)
    t.equal(await store.get('nobody'), undefined)
  })

  await t.test('with two processes, each version has one winner', async t => {
    const dataDir = t.testdir()
    const store = await EmbeddedInstallStore.open(dataDir, 'app')
    t.teardown(() => store.close())
    const other = await child(t, ['race', dataDir, 'app', 'shared'])
    other.go()
    const [mine, theirs] = await Promise.all([raceForVersions(store, 'shared', 50), other.next<number[]>()])
    t.strictSame([...mine, ...theirs].sort((a, b) => a - b), Array.from({ length: 50 }, (_, version) => version))
    t.equal((await store.get('shared'))?.version, 50)
  })

  await t.test('sees at once what another process wrote, in the same turn of the event loop too', async t => {
    const dataDir = t.testdir()
    const store = await EmbeddedInstallStore.open(dataDir, 'app')
    t.teardown(() => store.close())
    const other = await child(t, ['write', dataDir, 'app', 'fresh'])
    const before = store.get('fresh-0')
    other.go()
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    const after = store.get('fresh-0')
    t.equal(await before, undefined)
    t.equal((await after)?.version, 1)
  })

  await t.test('keeps what was told as written, and works on, when another process is killed while it writes', async t => {
    const dataDir = t.testdir()
    const store = await EmbeddedInstallStore.open(dataDir, 'app')
    t.teardown(() => store.close())
    const other = await child(t, ['write', dataDir, 'app', 'killed'])
    other.go()
    const told: string[] = []
    while (told.length < 40) told.push(await other.next<string>())
    other.process.kill('SIGKILL')
    await other.exited
    for (const id of told) t.equal((await store.get(id))?.version, 1)
    t.equal(await store.swap('after', 0, sampleInstall('after')), true)
  })

  await t.test('a full disk takes nothing, says so, and does not end the process', async t => {
    const dataDir = t.testdir()
    const other = await child(t, ['fill', dataDir, 'app', 'full'])
    other.go()
    const { failures, first } = await other.next<{ failures: unknown[], first: number }>()
    t.ok(failures.length > 0)
    for (const failure of failures) t.match(failure, { code: UNAVAILABLE.code, cause: /File too large|Input\/output error|Commit failed/, stored: false })
    t.equal(first, 1, 'what was written can be read')
    t.equal(await other.exited, 0, 'and the process goes on to its end')
  })
})

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

  async scan (cursor = ''): Promise<InstallPage> {
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

interface Child {
  process: ChildProcessWithoutNullStreams
  go (): void
  /** The next line it says. */
  next<T> (): Promise<T>
  /** Its status. */
  exited: Promise<number | null>
}

/** A second process, started and ready. */
async function child (t: Test, args: string[]): Promise<Child> {
  const started = startProgram('test/helpers/embedded-process.ts', args)
  t.teardown(() => started.kill('SIGKILL'))
  started.stderr.resume()
  const exited = once(started, 'exit').then(([status]) => status)
  const lines = createInterface({ input: started.stdout })[Symbol.asyncIterator]()
  const next = async <T>(): Promise<T> => JSON.parse((await lines.next()).value)
  t.equal(await next(), 'ready')
  return { process: started, go: () => started.stdin.write('\n'), next, exited }
}
