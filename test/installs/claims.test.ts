import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { digestToken } from '../../src/installs/application-token.ts'
import { CLAIM_LIFE_MS, MOST_CLAIMS, MOST_HELD, MOST_OF_CLAIM, MOST_OF_SOURCE, mostOfSource, type PendingInstall, type PendingInstalls } from '../../src/storage/pending-installs.ts'
import { EmbeddedClaims } from '../../src/installs/embedded-claims.ts'
import { RedisPendingInstalls } from '../../src/storage/redis/pending-installs.ts'
import { connectRedis } from '../../src/storage/redis/connect.ts'
import { appId, appKeys } from '../../src/storage/redis/keys.ts'
import { startProgram } from '../helpers/program.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

/** The event that makes a claim, where there is but one. */
const EVENT = 'event-1'

/** Opens the same claims again at each call. */
type Open = (lifeMs?: number) => Promise<PendingInstalls>

interface Adapter {
  name: string
  /** PendingInstalls of an app that has none. */
  prepare (t: Test): Promise<Open>
}

const ADAPTERS: Adapter[] = [
  { name: 'RedisPendingInstalls', prepare: prepareRedis },
  { name: 'EmbeddedClaims', prepare: prepareEmbedded }
]

async function prepareRedis (t: Test): Promise<Open> {
  const { client, close } = await connectRedis(process.env['REDIS_URL'] as string, () => {})
  const app = newApp()
  t.teardown(async () => {
    await client.eval("return redis.call('DEL', KEYS[1])", 1, appKeys(app).claims)
    await close()
  })
  return async lifeMs => new RedisPendingInstalls(client, app, lifeMs)
}

async function prepareEmbedded (t: Test): Promise<Open> {
  const dataDir = t.testdir()
  return async (lifeMs) => {
    const claims = await EmbeddedClaims.open(dataDir, 'app', lifeMs)
    t.teardown(() => claims.end())
    return claims
  }
}

function newApp (): string {
  return appId(`local.${randomBytes(16).toString('hex')}`)
}

/** A portal that nobody knows, with a token. */
function newClaim (): PendingInstall {
  return { memberId: randomBytes(16).toString('hex'), token: digestToken(randomBytes(16).toString('hex')) }
}

async function isOpen (claims: PendingInstalls, claim: PendingInstall): Promise<boolean> {
  return await claims.stateOf(claim) === 'open'
}

/** Opens as many claims as a source may have. */
async function openAll (claims: PendingInstalls, source: string): Promise<PendingInstall[]> {
  const opened: PendingInstall[] = []
  for (let claim = newClaim(); await claims.open(claim, source, EVENT); claim = newClaim()) opened.push(claim)
  return opened
}

t.test('the share of a source falls with the square of what is free', async t => {
  const rows: Array<[others: number, most: number]> = [
    [0, 64], [3, 62], [75, 31], [128, 16], [192, 4], [223, 1], [224, 1], [255, 1], [256, 0]
  ]
  for (const [others, most] of rows) t.equal(mostOfSource(others), most, `beside ${others}`)
  let sources = 0
  for (let taken = 0; taken < MOST_CLAIMS; taken += mostOfSource(taken)) sources++
  t.equal(sources, 63, 'so many sources fill all places')
})

for (const { name, prepare } of ADAPTERS) {
  t.test(name, async t => {
    await t.test('a claim is open from its opening to its end', async t => {
      const claims = await (await prepare(t))()
      const claim = newClaim()
      t.equal(await isOpen(claims, claim), false)
      t.equal(await claims.open(claim, 'a', EVENT), true)
      t.equal(await isOpen(claims, claim), true)
      t.equal(await isOpen(claims, { ...claim, token: newClaim().token }), false, 'another token is another claim')
      t.equal(await isOpen(claims, { ...claim, memberId: newClaim().memberId }), false, 'so is another portal')
      await claims.close(claim, EVENT)
      t.equal(await isOpen(claims, claim), false)
      await claims.close(claim, EVENT)
      t.equal(await claims.open(claim, 'a', EVENT), true, 'it may be opened again')
    })

    await t.test('a claim is open until each event that makes it is settled', async t => {
      const claims = await (await prepare(t))()
      const claim = newClaim()
      for (const id of ['first', 'second', 'second']) t.equal(await claims.open(claim, 'a', id), true)
      await claims.close(claim, 'another')
      await claims.close(claim, 'first')
      await claims.close(claim, 'first')
      t.equal(await claims.stateOf(claim), 'open')
      t.equal(await claims.hold(claim), true)
      await claims.close(claim, 'second')
      t.equal(await claims.stateOf(claim), 'closed')
      t.equal(await claims.hold(claim), false)
    })

    await t.test('a claim whose event was given up is lost, and takes no place', async t => {
      const claims = await (await prepare(t))()
      const claim = newClaim()
      for (const id of ['first', 'second']) await claims.open(claim, 'a', id)
      await claims.lose(claim, 'first')
      t.equal(await claims.stateOf(claim), 'open', 'the other may still prove it')
      await claims.close(claim, 'second')
      t.equal(await claims.stateOf(claim), 'lost')
      t.equal(await claims.hold(claim), false)
      const late = newClaim()
      await claims.lose(late, 'first')
      t.equal(await claims.stateOf(late), 'lost', 'also one that was forgotten before')
      t.equal((await openAll(claims, 'a')).length, mostOfSource(0))
      t.equal(await claims.open(claim, 'b', 'third'), true)
      t.equal(await claims.stateOf(claim), 'open', 'it may be opened again')
    })

    await t.test('events that make claims are bounded, of each claim and of each source, until they are settled', async t => {
      const claims = await (await prepare(t))()
      const [claim, ...more] = Array.from({ length: 10 }, newClaim) as [PendingInstall, ...PendingInstall[]]
      const openMany = async (claim: PendingInstall, source: string) => {
        const opened = await Promise.all(Array.from({ length: 20 }, (_, i) => claims.open(claim, source, `event-${i}`)))
        return opened.filter(Boolean).length
      }
      t.equal(await openMany(claim, 'a'), MOST_OF_CLAIM)
      t.equal(await openMany(claim, 'b'), MOST_OF_CLAIM, 'the same events again, and no others, whoever sends them')
      for (const each of more) await openMany(each, 'a')
      t.equal(await claims.open(newClaim(), 'a', 'late'), false, `${MOST_OF_SOURCE} of this source`)
      t.equal(await claims.open(newClaim(), 'c', 'late'), true, 'another has places of its own')
      await claims.close(claim, 'event-0')
      t.equal(await claims.stateOf(claim), 'open')
      t.equal(await claims.open(claim, 'a', 'late'), true)
      t.equal(await claims.open(claim, 'a', 'later'), false)
    })

    await t.test('all who share the store see the same claims', async t => {
      const open = await prepare(t)
      const [one, other] = [await open(), await open()]
      const claim = newClaim()
      await one.open(claim, 'a', EVENT)
      t.equal(await isOpen(other, claim), true)
      t.equal(await other.hold(claim), true)
      await other.close(claim, EVENT)
      t.equal(await isOpen(one, claim), false)
      t.equal(await one.hold(claim), false)
    })

    await t.test('events are held only for an open claim, up to a number of each claim', async t => {
      const claims = await (await prepare(t))()
      const [claim, other] = [newClaim(), newClaim()]
      t.equal(await claims.hold(claim), false)
      await claims.open(claim, 'a', EVENT)
      await claims.open(other, 'a', EVENT)
      const held = await Promise.all(Array.from({ length: MOST_HELD + 50 }, () => claims.hold(claim)))
      t.equal(held.filter(Boolean).length, MOST_HELD)
      t.equal(await claims.open(claim, 'a', EVENT), true)
      t.equal(await claims.hold(claim), false, 'one that is open is not counted anew')
      t.equal(await claims.hold({ ...claim, token: '' }), false)
      t.equal(await claims.hold(other), true, 'each claim has a count of its own')
      await claims.close(claim, EVENT)
      await claims.open(claim, 'a', EVENT)
      t.equal(await claims.hold(claim), true, 'what was counted ends with the claim')
    })

    await t.test('one source with 60 portals gets through when nobody floods', async t => {
      const claims = await (await prepare(t))()
      const opened = await Promise.all(Array.from({ length: 60 }, () => claims.open(newClaim(), '192.0.2.1', EVENT)))
      t.notOk(opened.includes(false))
    })

    await t.test('one source takes no more than its share, and what is open stays open', async t => {
      const open = await prepare(t)
      const [one, other] = [await open(), await open()]
      const early = newClaim()
      await one.open(early, 'early', EVENT)
      const forged = Array.from({ length: 200 }, newClaim)
      const opened = await Promise.all(forged.map((claim, i) => (i % 2 === 0 ? one : other).open(claim, 'flood', EVENT)))
      const taken = forged.filter((_, i) => opened[i])
      t.equal(taken.length, mostOfSource(1))
      t.equal(await one.open(early, 'flood', EVENT), true, 'whoever asks for it again')
      t.equal(await isOpen(one, early), true)
      t.equal(await one.open(newClaim(), 'early', EVENT), true)
      t.equal((await openAll(one, 'late')).length, mostOfSource(taken.length + 2), 'the next source has places left')
      await one.close(taken[0] as PendingInstall, EVENT)
      t.equal(await other.open(newClaim(), 'flood', EVENT), false, 'the share has become less')
    })

    await t.test('many sources get a place each until none is left', async t => {
      const claims = await (await prepare(t))()
      const opened: PendingInstall[] = []
      for (let i = 0; opened.length < MOST_CLAIMS; i++) {
        const own = await openAll(claims, `198.51.100.${i}`)
        t.equal(own.length, mostOfSource(opened.length))
        opened.push(...own)
      }
      t.equal(await claims.open(newClaim(), 'late', EVENT), false)
      t.equal(await claims.open(opened[0] as PendingInstall, 'late', EVENT), true)
      await claims.close(opened[0] as PendingInstall, EVENT)
      t.equal(await claims.open(newClaim(), 'late', EVENT), true)
    })

    await t.test('a claim that nobody ends is forgotten after its time', async t => {
      const open = await prepare(t)
      const [lasting, brief] = [await open(), await open(500)]
      const [kept, claims] = [newClaim(), Array.from({ length: 62 }, newClaim)]
      const openOnes = async () => (await Promise.all(claims.map(claim => isOpen(lasting, claim)))).filter(Boolean).length
      await lasting.open(kept, 'a', EVENT)
      await Promise.all(claims.map(claim => brief.open(claim, 'b', EVENT)))
      await until(async () => await openOnes() === 0, 'the claims are forgotten')
      t.equal(await lasting.hold(claims[0] as PendingInstall), false)
      t.equal((await openAll(lasting, 'b')).length, mostOfSource(1), 'their places are free')
      t.equal(await isOpen(lasting, kept), true)
    })
  })
}

t.test('RedisPendingInstalls: nothing stays in Redis for longer than a claim', async t => {
  const { client, close } = await connectRedis(process.env['REDIS_URL'] as string, () => {})
  const raw = new Redis(process.env['REDIS_URL'] as string)
  t.teardown(async () => {
    raw.disconnect()
    await close()
  })
  const app = newApp()
  const claims = new RedisPendingInstalls(client, app)
  const claim = newClaim()
  await claims.hold(claim)
  t.strictSame(await raw.keys(`b24:{${app}}:*`), [], 'asking leaves nothing')
  await claims.open(claim, 'a b c', EVENT)
  await claims.hold(claim)
  const [key] = await raw.keys(`b24:{${app}}:*`)
  t.equal(key, appKeys(app).claims)
  const life = await raw.pttl(key as string)
  t.ok(life > CLAIM_LIFE_MS - 60_000 && life <= CLAIM_LIFE_MS, `${life} ms`)
  t.match(await raw.hgetall(key as string), { [`${claim.memberId} ${claim.token}`]: /^\d{13} 1 0 event-1 a b c$/ })
  await claims.close(claim, EVENT)
  t.strictSame(await raw.keys(`b24:{${app}}:*`), [])
})

t.test('RedisPendingInstalls: one app does not see the claims of another', async t => {
  const [one, other] = [await (await prepareRedis(t))(), await (await prepareRedis(t))()]
  const claim = newClaim()
  await one.open(claim, 'a', EVENT)
  t.equal(await isOpen(other, claim), false)
})

t.test('RedisPendingInstalls: says that Redis is away', async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const { client, close } = await connectRedis(server.url, () => {})
  t.teardown(close)
  const claims = new RedisPendingInstalls(client, newApp())
  await server.kill()
  for (const verb of verbs(claims)) await t.rejects(verb(newClaim()), UNAVAILABLE)
})

t.test('EmbeddedClaims: says that it cannot work', async t => {
  const claims = await EmbeddedClaims.open(t.testdir(), 'app')
  for (const verb of verbs(claims)) await t.rejects(verb({ memberId: 'x'.repeat(5000), token: '' }), UNAVAILABLE, 'a key that LMDB cannot take')
  t.equal(await claims.open(newClaim(), 'a', EVENT), true)
  const ended = claims.end()
  for (const verb of verbs(claims)) await t.rejects(verb(newClaim()), UNAVAILABLE, 'during its end')
  await ended
  for (const verb of verbs(claims)) await t.rejects(verb(newClaim()), UNAVAILABLE, 'after its end')
  await t.rejects(EmbeddedClaims.open(`${t.testdirName}/app/claims/data.mdb`, 'app'), UNAVAILABLE)
})

t.test('EmbeddedClaims: keeps what is open when it is opened again', async t => {
  const dataDir = t.testdir()
  const claim = newClaim()
  const before = await EmbeddedClaims.open(dataDir, 'app')
  await before.open(claim, 'a', EVENT)
  await before.end()
  const after = await EmbeddedClaims.open(dataDir, 'app')
  t.teardown(() => after.end())
  t.equal(await isOpen(after, claim), true)
})

t.test('EmbeddedClaims: two processes count together', async t => {
  const dataDir = t.testdir()
  const claims = await EmbeddedClaims.open(dataDir, 'app')
  t.teardown(() => claims.end())
  const claim = newClaim()
  await claims.open(claim, 'a', EVENT)
  const other = startProgram('test/helpers/claims-process.ts', [dataDir, 'app', claim.memberId, claim.token, '700'])
  t.teardown(() => other.kill('SIGKILL'))
  other.stderr.resume()
  const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]()
  t.equal((await lines.next()).value, '"ready"')
  const exited = once(other, 'exit')
  other.stdin.write('\n')
  const mine = await Promise.all(Array.from({ length: 700 }, () => claims.hold(claim)))
  const theirs = Number((await lines.next()).value)
  t.equal(mine.filter(Boolean).length + theirs, MOST_HELD)
  t.strictSame(await exited, [0, null])
})

function verbs (claims: PendingInstalls): Array<(claim: PendingInstall) => Promise<unknown>> {
  return [
    claim => claims.open(claim, 'a', EVENT), claim => claims.stateOf(claim), claim => claims.hold(claim),
    claim => claims.close(claim, EVENT), claim => claims.lose(claim, EVENT)
  ]
}
