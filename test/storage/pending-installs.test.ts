import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { digestToken } from '../../src/installs/application-token.ts'
import { sourceOf } from '../../src/delivery/unverified-limiter.ts'
import { MAX_ADMITTED_EVENTS, MAX_EVENTS_PER_PENDING_INSTALL, PENDING_INSTALL_TTL_MS, type PendingInstall, type PendingInstalls } from '../../src/storage/pending-installs.ts'
import { connectRedis } from '../helpers/connect-redis.ts'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { RedisPendingInstalls } from '../../src/storage/redis/pending-installs.ts'
import { KNOWN_SLOTS, NETWORK_SHARE, shareOf, SUBNETWORK_SHARE, UNVERIFIED_SLOTS, type Source } from '../../src/storage/network-share.ts'
import { SqlitePendingInstalls } from '../../src/storage/sqlite/pending-installs.ts'
import { openDatabase } from './sqlite/database.ts'
import { startProgram } from '../helpers/program.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

/** The event that makes an install, where there is but one. */
const EVENT = 'event-1'
const [SERVER, OTHER_SERVER]: [string, string] = ['https://oauth.bitrix24.tech', 'https://oauth.bitrix.info']
const A = sourceOf(SERVER, '192.0.2.1')
const B = sourceOf(SERVER, '198.51.100.1')

/** Opens the same pending installs again at each call. */
type Open = (lifeMs?: number) => Promise<PendingInstalls>

interface Adapter {
  name: string
  /** Pending installs of an app that has none. */
  prepare (t: Test): Promise<Open>
}

const ADAPTERS: Adapter[] = [
  { name: 'RedisPendingInstalls', prepare: prepareRedis },
  { name: 'SqlitePendingInstalls', prepare: prepareSqlite }
]

async function prepareRedis (t: Test): Promise<Open> {
  const { client, close } = await connectRedis(process.env['REDIS_URL'] as string)
  const app = newApp()
  t.teardown(async () => {
    await client.eval("return redis.call('DEL', KEYS[1])", 1, appKeys(app).pendingInstalls)
    await close()
  })
  return async lifeMs => new RedisPendingInstalls(client, app, lifeMs)
}

async function prepareSqlite (t: Test): Promise<Open> {
  const dataDir = t.testdir()
  return async (lifeMs) => {
    const db = await openDatabase(dataDir)
    t.teardown(() => db.close())
    return new SqlitePendingInstalls(db, lifeMs)
  }
}

function newApp (): string {
  return appId(`local.${randomBytes(16).toString('hex')}`)
}

/** A portal that nobody knows, with a token. */
function newPending (): PendingInstall {
  return { memberId: randomBytes(16).toString('hex'), token: digestToken(randomBytes(16).toString('hex')) }
}

async function isOpen (installs: PendingInstalls, pending: PendingInstall): Promise<boolean> {
  return await installs.stateOf(pending) === 'open'
}

/** Places that one IPv4 address may have while others have so many. */
function mostOfAddress (others: number): number {
  return shareOf(shareOf(UNVERIFIED_SLOTS, others, NETWORK_SHARE), 0, SUBNETWORK_SHARE)
}

/** Opens as many pending installs as a sender may have, and returns them. */
async function openAll (installs: PendingInstalls, ip: string, server = SERVER, portal?: string): Promise<PendingInstall[]> {
  const opened: PendingInstall[] = []
  for (let pending = newPending(); await installs.open(pending, sourceOf(server, ip, portal), EVENT); pending = newPending()) opened.push(pending)
  return opened
}

for (const { name, prepare } of ADAPTERS) {
  t.test(name, async t => {
    await t.test('an install is pending from its opening to its end', async t => {
      const installs = await (await prepare(t))()
      const pending = newPending()
      t.equal(await isOpen(installs, pending), false)
      t.equal(await installs.open(pending, A, EVENT), true)
      t.equal(await isOpen(installs, pending), true)
      t.equal(await isOpen(installs, { ...pending, token: newPending().token }), false, 'another token is another install')
      t.equal(await isOpen(installs, { ...pending, memberId: newPending().memberId }), false, 'so is another portal')
      await installs.close(pending, EVENT)
      t.equal(await isOpen(installs, pending), false)
      await installs.close(pending, EVENT)
      t.equal(await installs.open(pending, A, EVENT), true, 'it may be opened again')
    })

    await t.test('an install is open until each event that makes it is settled', async t => {
      const installs = await (await prepare(t))()
      const pending = newPending()
      for (const id of ['first', 'second', 'second']) t.equal(await installs.open(pending, A, id), true)
      await installs.close(pending, 'another')
      await installs.close(pending, 'first')
      await installs.close(pending, 'first')
      t.equal(await installs.stateOf(pending), 'open')
      t.equal(await installs.admitEvent(pending), true)
      await installs.close(pending, 'second')
      t.equal(await installs.stateOf(pending), 'closed')
      t.equal(await installs.admitEvent(pending), false)
    })

    await t.test('an abandoned install is reported to its quarantined events, and uses no slot', async t => {
      const installs = await (await prepare(t))()
      const pending = newPending()
      for (const id of ['first', 'second']) await installs.open(pending, A, id)
      await installs.abandon(pending, 'first')
      t.equal(await installs.stateOf(pending), 'open', 'the other may still prove it')
      t.equal(await installs.admitEvent(pending), true)
      await installs.close(pending, 'second')
      t.equal(await installs.stateOf(pending), 'abandoned')
      t.equal(await installs.admitEvent(pending), false)
      const [kept, alone] = [newPending(), newPending()]
      for (const each of [kept, alone]) await installs.open(each, A, EVENT)
      await installs.admitEvent(kept)
      for (const each of [kept, alone]) await installs.abandon(each, EVENT)
      t.equal(await installs.stateOf(kept), 'abandoned')
      t.equal(await installs.stateOf(alone), 'closed', 'nothing was kept for it, so nothing has to be known of it')
      await installs.abandon(newPending(), EVENT)
      t.equal((await openAll(installs, '192.0.2.1')).length, mostOfAddress(0))
      t.equal(await installs.open(pending, B, 'third'), true)
      t.equal(await installs.stateOf(pending), 'open', 'it may be opened again')
    })

    await t.test('events that make installs are bounded, of each install and of each sender, until they are settled', async t => {
      const installs = await (await prepare(t))()
      const [pending, ...more] = Array.from({ length: 10 }, newPending) as [PendingInstall, ...PendingInstall[]]
      const openMany = async (pending: PendingInstall, source: Source) => {
        const opened = await Promise.all(Array.from({ length: 20 }, (_, i) => installs.open(pending, source, `event-${i}`)))
        return opened.filter(Boolean).length
      }
      t.equal(await openMany(pending, A), MAX_EVENTS_PER_PENDING_INSTALL)
      t.equal(await openMany(pending, B), MAX_EVENTS_PER_PENDING_INSTALL, 'the same events again, and no others, whoever sends them')
      for (const each of more) await openMany(each, A)
      t.equal(await installs.open(newPending(), A, 'late'), false, `${mostOfAddress(0)} of this sender`)
      t.equal(await installs.open(newPending(), B, 'late'), true, 'another has places of its own')
      await installs.close(pending, 'event-0')
      t.equal(await installs.stateOf(pending), 'open')
      await installs.close(more[0] as PendingInstall, 'event-0')
      t.equal(await installs.open(pending, A, 'late'), true)
      t.equal(await installs.open(pending, A, 'later'), false)
    })

    await t.test('all who share the storage see the same installs', async t => {
      const open = await prepare(t)
      const [one, other] = [await open(), await open()]
      const pending = newPending()
      await one.open(pending, A, EVENT)
      t.equal(await isOpen(other, pending), true)
      t.equal(await other.admitEvent(pending), true)
      await other.close(pending, EVENT)
      t.equal(await isOpen(one, pending), false)
      t.equal(await one.admitEvent(pending), false)
    })

    await t.test('events are quarantined only for an open install, up to a limit', async t => {
      const installs = await (await prepare(t))()
      const [pending, other] = [newPending(), newPending()]
      t.equal(await installs.admitEvent(pending), false)
      await installs.open(pending, A, EVENT)
      await installs.open(other, A, EVENT)
      const admitted = await Promise.all(Array.from({ length: MAX_ADMITTED_EVENTS + 50 }, () => installs.admitEvent(pending)))
      t.equal(admitted.filter(Boolean).length, MAX_ADMITTED_EVENTS)
      t.equal(await installs.open(pending, A, EVENT), true)
      t.equal(await installs.admitEvent(pending), false, 'one that is open keeps its count')
      t.equal(await installs.admitEvent({ ...pending, token: '' }), false)
      t.equal(await installs.admitEvent(other), true, 'each install has a count of its own')
      await installs.close(pending, EVENT)
      await installs.open(pending, A, EVENT)
      t.equal(await installs.admitEvent(pending), true, 'what was counted ends with the install')
    })

    await t.test('one sender takes no more than its share, and what is open stays open', async t => {
      const open = await prepare(t)
      const [one, other] = [await open(), await open()]
      const early = newPending()
      await one.open(early, B, EVENT)
      const forged = Array.from({ length: 200 }, newPending)
      const opened = await Promise.all(forged.map((pending, i) => (i % 2 === 0 ? one : other).open(pending, A, EVENT)))
      const taken = forged.filter((_, i) => opened[i])
      t.equal(taken.length, mostOfAddress(1))
      t.equal(await one.open(early, A, EVENT), true, 'whoever asks for it again')
      t.equal(await isOpen(one, early), true)
      t.equal(await one.open(newPending(), B, EVENT), true)
      t.equal((await openAll(one, '203.0.113.1')).length, mostOfAddress(taken.length + 2), 'the next sender has places left')
      await one.close(taken[0] as PendingInstall, EVENT)
      t.equal(await other.open(newPending(), A, EVENT), false, 'the share has become less')
    })

    await t.test('addresses of one network share what the network may have', async t => {
      const rows: Array<[what: string, most: number, ips: (i: number) => string]> = [
        ['an IPv6 /48', 96, i => `2001:db8:77:${i.toString(16)}::1`],
        ['an IPv6 /56', 72, i => `2001:db8:77:${(i % 256).toString(16)}::1`],
        ['an IPv6 /64', 54, i => `2001:db8:77:1::${i.toString(16)}`],
        ['an IPv4 /24', 96, i => `192.0.2.${i % 256}`],
        ['an IPv4 address', 72, () => '192.0.2.1'],
        ['an IPv4 address, mapped', 72, i => i % 2 === 0 ? '::ffff:192.0.2.1' : '192.0.2.1']
      ]
      for (const [what, most, ips] of rows) {
        const installs = await (await prepare(t))()
        let count = 0
        for (let i = 0; i < 200; i++) if (await installs.open(newPending(), sourceOf(SERVER, ips(i * 257 % 65536)), EVENT)) count++
        t.equal(count, most, what)
        t.equal(await installs.open(newPending(), B, EVENT), true, 'others have places')
      }
    })

    await t.test('many networks get a slot each until none is left; another server and known portals have their own', async t => {
      const installs = await (await prepare(t))()
      const opened: PendingInstall[] = []
      let networks = 0
      for (; opened.length < UNVERIFIED_SLOTS; networks++) {
        for (const host of [1, 2, 3, 4, 5, 6, 7, 8]) opened.push(...await openAll(installs, `198.51.${networks}.${host}`))
      }
      t.ok(networks >= 30, `${networks} networks fill all places`)
      t.equal(await installs.open(newPending(), A, EVENT), false)
      t.equal(await installs.open(opened[0] as PendingInstall, A, EVENT), true)
      t.equal((await openAll(installs, '192.0.2.1', OTHER_SERVER)).length, mostOfAddress(0), 'what waits for one server takes no place of another')
      const own = await openAll(installs, '192.0.2.1', SERVER, 'acme')
      t.equal(own.length, shareOf(KNOWN_SLOTS, 0, NETWORK_SHARE), 'a known portal has its share, wherever it posts from')
      t.equal((await openAll(installs, '192.0.2.1', SERVER, 'beta')).length, shareOf(KNOWN_SLOTS, own.length, NETWORK_SHARE))
      await installs.close(opened[0] as PendingInstall, EVENT)
      t.equal(await installs.open(newPending(), A, EVENT), true)
    })

    await t.test('a pending install expires', async t => {
      const open = await prepare(t)
      const [lasting, brief] = [await open(), await open(500)]
      const [kept, forgotten] = [newPending(), Array.from({ length: 62 }, newPending)]
      const openOnes = async () => (await Promise.all(forgotten.map(pending => isOpen(lasting, pending)))).filter(Boolean).length
      await lasting.open(kept, A, EVENT)
      await Promise.all(forgotten.map(pending => brief.open(pending, B, EVENT)))
      await until(async () => await openOnes() === 0, 'the installs are forgotten')
      t.equal(await lasting.admitEvent(forgotten[0] as PendingInstall), false)
      t.equal((await openAll(lasting, '198.51.100.1')).length, mostOfAddress(1), 'their places are free')
      t.equal(await isOpen(lasting, kept), true)
    })
  })
}

t.test('RedisPendingInstalls: nothing stays in Redis for longer than a pending install', async t => {
  const { client, close } = await connectRedis(process.env['REDIS_URL'] as string)
  const raw = new Redis(process.env['REDIS_URL'] as string)
  t.teardown(async () => {
    raw.disconnect()
    await close()
  })
  const app = newApp()
  const installs = new RedisPendingInstalls(client, app)
  const pending = newPending()
  await installs.admitEvent(pending)
  t.strictSame(await raw.keys(`b24:{${app}}:*`), [], 'asking leaves nothing')
  await installs.open(pending, A, EVENT)
  await installs.admitEvent(pending)
  const [key] = await raw.keys(`b24:{${app}}:*`)
  t.equal(key, appKeys(app).pendingInstalls)
  const life = await raw.pttl(key as string)
  t.ok(life > PENDING_INSTALL_TTL_MS - 60_000 && life <= PENDING_INSTALL_TTL_MS, `${life} ms`)
  const [[field, record]] = Object.entries(await raw.hgetall(key as string)) as [[string, string]]
  t.equal(field, `${pending.memberId} ${pending.token}`)
  t.match(JSON.parse(record), { admitted: 1, isAbandoned: false, events: { [EVENT]: A.path } })
  await installs.close(pending, EVENT)
  t.strictSame(await raw.keys(`b24:{${app}}:*`), [])
})

t.test('RedisPendingInstalls: one app does not see the installs of another', async t => {
  const [one, other] = [await (await prepareRedis(t))(), await (await prepareRedis(t))()]
  const pending = newPending()
  await one.open(pending, A, EVENT)
  t.equal(await isOpen(other, pending), false)
})

t.test('RedisPendingInstalls: rejects while Redis is unavailable', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const { client, close } = await connectRedis(server.url)
  t.teardown(close)
  const installs = new RedisPendingInstalls(client, newApp())
  await server.kill()
  for (const verb of verbs(installs)) await t.rejects(verb(newPending()), UNAVAILABLE)
})

t.test('SqlitePendingInstalls: rejects if the file is not usable', async t => {
  const db = await openDatabase(t.testdir())
  const installs = new SqlitePendingInstalls(db)
  await db.close()
  for (const verb of verbs(installs)) await t.rejects(verb(newPending()), UNAVAILABLE)
})

t.test('SqlitePendingInstalls: two processes count together, and what is open outlives both', async t => {
  const dataDir = t.testdir()
  const db = await openDatabase(dataDir)
  const installs = new SqlitePendingInstalls(db)
  const pending = newPending()
  await installs.open(pending, A, EVENT)
  const other = startProgram('test/helpers/pending-installs-process.ts', [dataDir, pending.memberId, pending.token, '700'])
  t.teardown(() => other.kill('SIGKILL'))
  other.stderr.resume()
  const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]()
  t.equal((await lines.next()).value, '"ready"')
  const exited = once(other, 'exit')
  other.stdin.write('\n')
  const mine = await Promise.all(Array.from({ length: 700 }, () => installs.admitEvent(pending)))
  const theirs = Number((await lines.next()).value)
  t.equal(mine.filter(Boolean).length + theirs, MAX_ADMITTED_EVENTS)
  t.strictSame(await exited, [0, null])
  await db.close()
  const next = await openDatabase(dataDir)
  t.teardown(() => next.close())
  t.equal(await isOpen(new SqlitePendingInstalls(next), pending), true)
})

t.test('a record that cannot be read counts as none', async t => {
  const db = await openDatabase(t.testdir())
  t.teardown(() => db.close())
  const { client, close } = await connectRedis(process.env['REDIS_URL'] as string)
  const app = newApp()
  t.teardown(close)
  const raw = new Redis(process.env['REDIS_URL'] as string)
  t.teardown(() => raw.disconnect())
  t.teardown(() => raw.del(appKeys(app).pendingInstalls))
  const spoil = [
    [new SqlitePendingInstalls(db), async () => { await db.write(() => db.run("UPDATE pending_installs SET record = 'x'")) }],
    [new RedisPendingInstalls(client, app), async ({ memberId, token }: PendingInstall) => { await raw.hset(appKeys(app).pendingInstalls, `${memberId} ${token}`, 'x') }]
  ] as const
  for (const [installs, spoilRecord] of spoil) {
    const pending = newPending()
    await installs.open(pending, A, EVENT)
    await spoilRecord(pending)
    t.equal(await installs.stateOf(pending), 'closed')
    t.equal(await installs.open(newPending(), A, EVENT), true)
    t.equal(await installs.open(pending, A, EVENT), true)
  }
})

function verbs (installs: PendingInstalls): Array<(pending: PendingInstall) => Promise<unknown>> {
  return [
    pending => installs.open(pending, A, EVENT), pending => installs.stateOf(pending), pending => installs.admitEvent(pending),
    pending => installs.close(pending, EVENT), pending => installs.abandon(pending, EVENT)
  ]
}
