import type { BoundedClient } from './connect.ts'
import { bucketKey } from './keys.ts'
import { BUCKET_RATES, MAX_CLOSED_MS, type BucketRates, type PortalBuckets, type Reservation } from '../call-rate-limits.ts'

// A hash for each portal: `level` of its bucket, `at` the time of that, and `m <method>` until when a method is closed. It ends
// when the bucket is empty and no method is closed. The clock is the server's, one for all processes.
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function keepFor(ms)
  if redis.call('PTTL', KEYS[1]) < ms then redis.call('PEXPIRE', KEYS[1], math.ceil(ms)) end
end`

const LEVEL = `
local function levelOf(level, at, drain)
  return math.max(0, (tonumber(level) or 0) - math.max(0, now - (tonumber(at) or now)) * drain)
end`

// KEYS: limits of the portal. ARGV: method, calls that leak in a ms, calls that fit, longest wait, longest time of a closed method.
const RESERVE = `${NOW}${LEVEL}
local drain, burst, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HMGET', KEYS[1], 'level', 'at', 'm ' .. ARGV[1])
local level = levelOf(known[1], known[2], drain) + 1
local closed = math.min((tonumber(known[3]) or now) - now, tonumber(ARGV[5]))
local full = (level - burst) / drain
local wait = math.ceil(math.max(0, closed, full))
if wait > most then return {0, wait, closed > full and 'method' or 'bucket'} end
redis.call('HSET', KEYS[1], 'level', level, 'at', string.format('%.0f', now))
keepFor(level / drain)
return {1, wait}`

// KEYS: limits of the portal. ARGV: calls that leak in a ms, calls that fit.
const FILL = `${NOW}${LEVEL}
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.max(levelOf(known[1], known[2], tonumber(ARGV[1])), tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'level', level, 'at', string.format('%.0f', now))
keepFor(level / tonumber(ARGV[1]))`

// KEYS: limits of the portal. ARGV: method, for how long.
const CLOSE = `${NOW}
redis.call('HSET', KEYS[1], 'm ' .. ARGV[1], string.format('%.0f', now + ARGV[2]))
keepFor(tonumber(ARGV[2]))`

/** Limits that all processes on one Redis keep together. Each verb is one round trip. */
export class RedisLimits implements PortalBuckets {
  readonly #client: BoundedClient
  readonly #rates: BucketRates

  constructor (client: BoundedClient, rates: BucketRates = BUCKET_RATES) {
    this.#client = client
    this.#rates = rates
  }

  async reserve (bucket: string, method: string, mostMs: number, { drainPerSecond, burst } = this.#rates): Promise<Reservation> {
    const rules = [drainPerSecond / 1000, burst, mostMs, MAX_CLOSED_MS]
    const [isReserved, ms, full] = await this.#run(RESERVE, bucket, method, ...rules) as [number, number, 'bucket' | 'method']
    return isReserved === 1 ? { status: 'reserved', waitMs: ms } : { status: 'refused', retryAfterMs: ms, full }
  }

  async fill (bucket: string, { drainPerSecond, burst } = this.#rates): Promise<void> {
    await this.#run(FILL, bucket, drainPerSecond / 1000, burst)
  }

  async close (bucket: string, method: string, forMs: number): Promise<void> {
    await this.#run(CLOSE, bucket, method, Math.min(forMs, MAX_CLOSED_MS))
  }

  #run (script: string, bucket: string, ...rest: Array<string | number>): Promise<unknown> {
    return this.#client.eval(script, 1, bucketKey(bucket), ...rest)
  }
}
