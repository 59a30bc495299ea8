import { randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { encodeRecord } from '../src/storage/install-record.ts'
import { RedisInstallStore } from '../src/storage/redis/installs.ts'
import { connectRedis, type RedisConnection } from '../test/helpers/connect-redis.ts'
import { appId, appKeys } from '../src/storage/redis/keys.ts'
import { sampleInstall } from '../src/testing/install-store-contract.ts'
import { startRedis, type RedisServer } from '../test/helpers/redis-server.ts'
import { atMost, median, printSection, type Row, type Section } from './table.ts'

const FEW = 1_000
const MANY = 1_000_000
const BATCH = 500
const ROUNDS = 31
const WARM_UP_ROUNDS = 5
const LOOKUPS = 1_000
const ALONE_LOOKUPS = 5_000
/** Lookups that are asked for at once share one round trip; what remains of each is memory that no cache of the processor holds. */
const AT_ONCE = 16
const APP = appId('local.bench')

interface Filled {
  store: RedisInstallStore
  count: number
  bytesEach: number
  close (): Promise<void>
}

/**
 * Measures what a million installs cost in a Redis of its own: memory for each, and time to find one, against a thousand.
 * A lookup is a round trip, as the accept path makes it.
 */
export async function measureInstalls (): Promise<Section> {
  const few = await fill(FEW, 1)
  const both = await fill(FEW * 100, 2)
  await both.close()
  const many = await fill(MANY, 1)
  try {
    const alone = await lookUpAlone(few, many)
    const busy = await lookUp(few, many, AT_ONCE)
    return {
      title: 'Installs in Redis, a thousand against a million',
      rows: [
        { name: 'memory of an install, one token pair', figure: `${Math.round(many.bytesEach)} bytes` },
        { name: 'memory of an install, two token pairs', figure: `${Math.round(both.bytesEach)} bytes` },
        ...lookUpRows('one at a time', alone),
        ...lookUpRows(`${AT_ONCE} at once`, medianRound(busy))
      ],
      targets: [
        atMost('memory of an install among a million', 1536, many.bytesEach, 'bytes'),
        atMost('lookup among a million, against a thousand, one at a time', 110, alone[1] / alone[0] * 100, '%')
      ]
    }
  } finally {
    await few.close()
    await many.close()
  }
}

async function fill (count: number, pairs: 1 | 2): Promise<Filled> {
  const server = await startRedis()
  const admin = new Redis(server.url)
  try {
    const before = await usedMemory(admin)
    await write(admin, count, pairs)
    const bytesEach = (await usedMemory(admin) - before) / count
    return await opened(server, count, bytesEach)
  } catch (error) {
    await server.stop()
    throw error
  } finally {
    admin.disconnect()
  }
}

async function opened (server: RedisServer, count: number, bytesEach: number): Promise<Filled> {
  const connection: RedisConnection = await connectRedis(server.url)
  const close = async () => {
    await connection.close()
    await server.stop()
  }
  return { store: new RedisInstallStore(connection.client, APP), count, bytesEach, close }
}

/** Writes records as the store does, many in one command. */
async function write (redis: Redis, count: number, pairs: 1 | 2): Promise<void> {
  const keys = appKeys(APP)
  const { installer, ...sample } = sampleInstall('')
  const install = { ...sample, installer: installer!, ...(pairs === 2 ? { systemUser: installer! } : {}) }
  for (let start = 0; start < count; start += BATCH) {
    const ids = Array.from({ length: BATCH }, (_, at) => memberId(start + at))
    await Promise.all([
      redis.mset(...ids.flatMap(memberId => [keys.install(memberId), encodeRecord(1, { ...install, memberId })])),
      redis.zadd(keys.installs, ...ids.flatMap(memberId => [0, memberId]))
    ])
  }
}

/** Ids as portals have them, 32 hex characters that do not come in order. */
function memberId (number: number): string {
  return (BigInt(number + 1) * 0x9e3779b97f4a7c15f39cc0605cedc835n & (1n << 128n) - 1n).toString(16).padStart(32, '0')
}

async function usedMemory (redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))![1])
}

type Round = [few: number, many: number]

/**
 * Time of one lookup in each store, µs: one here, one there, so that both see the same machine; the medians. They are paced
 * as events are: a loop without a pause would measure how long the processor remembers the last one.
 */
async function lookUpAlone (few: Filled, many: Filled): Promise<Round> {
  const times: [number[], number[]] = [[], []]
  for (let count = -100; count < ALONE_LOOKUPS; count++) {
    await pause(1)
    for (const size of count % 2 === 0 ? [0, 1] as const : [1, 0] as const) {
      const micros = await timeLookup(size === 0 ? few : many)
      if (count >= 0) times[size].push(micros)
    }
  }
  return [median(times[0]), median(times[1])]
}

async function timeLookup ({ store, count }: Filled): Promise<number> {
  const id = memberId(randomInt(count))
  const start = performance.now()
  await store.get(id)
  return (performance.now() - start) * 1000
}

/** Time of one lookup in each store, µs, round by round; a round starts with each of them in turn. */
async function lookUp (few: Filled, many: Filled, atOnce: number): Promise<Round[]> {
  const rounds: Round[] = []
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    const first = round % 2 === 0 ? await timeLookups(few, atOnce) : undefined
    const large = await timeLookups(many, atOnce)
    const small = first ?? await timeLookups(few, atOnce)
    if (round >= 0) rounds.push([small, large])
  }
  return rounds
}

async function timeLookups ({ store, count }: Filled, atOnce: number): Promise<number> {
  const ids = Array.from({ length: LOOKUPS }, () => memberId(randomInt(count)))
  const start = performance.now()
  await Promise.all(Array.from({ length: atOnce }, async (_, from) => {
    for (let at = from; at < LOOKUPS; at += atOnce) {
      const found = await store.get(ids[at]!)
      if (found === undefined) throw new Error(`The record of ${ids[at]} is not there`)
    }
  }))
  return (performance.now() - start) * 1000 / LOOKUPS
}

function lookUpRows (how: string, [small, large]: Round): Row[] {
  return [
    { name: `lookup among 1,000, ${how}`, figure: `${small.toFixed(1)} µs`, ratio: 1 },
    { name: `lookup among 1,000,000, ${how}`, figure: `${large.toFixed(1)} µs`, ratio: large / small }
  ]
}

function medianRound (rounds: Round[]): Round {
  return [median(rounds.map(([small]) => small)), median(rounds.map(([, large]) => large))]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const section = await measureInstalls()
  printSection(section)
  console.log(section.targets)
}
