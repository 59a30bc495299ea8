import type { BoundedClient } from '../redis/client.ts'
import { appKeys } from '../redis/keys.ts'
import { CLAIM_LIFE_MS, MOST_CLAIMS, MOST_HELD, SOURCE_SHARE, type Claim, type Claims } from './claims.ts'

// Fields are claims, a value is `<end, ms> <events held> <source>`. The clock is the server's, one for all processes.
const READ = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function read(value)
  local ends, held, source = string.match(value, '^(%d+) (%d+) (.*)$')
  return tonumber(ends), tonumber(held), source
end`

// KEYS: claims. ARGV: claim, source, life, places, share. The rule is that of mostOfSource().
const OPEN = `${READ}
local own, others = 0, 0
local claims = redis.call('HGETALL', KEYS[1])
for i = 1, #claims, 2 do
  local ends, _, source = read(claims[i + 1])
  if ends <= now then redis.call('HDEL', KEYS[1], claims[i])
  elseif claims[i] == ARGV[1] then return 1
  elseif source == ARGV[2] then own = own + 1
  else others = others + 1 end
end
local free = ARGV[4] - others
if own >= math.min(free, math.max(1, math.floor(ARGV[5] * free * free / ARGV[4]))) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f 0 %s', now + ARGV[3], ARGV[2]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1`

// KEYS: claims. ARGV: claim.
const IS_OPEN = `${READ}
local value = redis.call('HGET', KEYS[1], ARGV[1])
return value and read(value) > now and 1 or 0`

// KEYS: claims. ARGV: claim, most events to hold.
const HOLD = `${READ}
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then return 0 end
local ends, held, source = read(value)
if ends <= now or held >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %d %s', ends, held + 1, source))
return 1`

// KEYS: claims. ARGV: claim.
const CLOSE = "return redis.call('HDEL', KEYS[1], ARGV[1])"

/** Keeps claims in Redis: one hash for each app, which ends with the last of them. Each verb is one round trip. */
export class RedisClaims implements Claims {
  readonly #client: BoundedClient
  readonly #key: string
  readonly #lifeMs: number

  /** `client` is that of `connectRedis()`, which bounds each command; `app` is an `appId()`. */
  constructor (client: BoundedClient, app: string, lifeMs = CLAIM_LIFE_MS) {
    this.#client = client
    this.#key = appKeys(app).claims
    this.#lifeMs = lifeMs
  }

  open (claim: Claim, source: string): Promise<boolean> {
    return this.#run(OPEN, claim, source, this.#lifeMs, MOST_CLAIMS, SOURCE_SHARE)
  }

  isOpen (claim: Claim): Promise<boolean> {
    return this.#run(IS_OPEN, claim)
  }

  hold (claim: Claim): Promise<boolean> {
    return this.#run(HOLD, claim, MOST_HELD)
  }

  async close (claim: Claim): Promise<void> {
    await this.#run(CLOSE, claim)
  }

  async #run (script: string, { memberId, token }: Claim, ...rest: Array<string | number>): Promise<boolean> {
    return await this.#client.eval(script, 1, this.#key, `${memberId} ${token}`, ...rest) === 1
  }
}
