import type { BoundedClient } from './client.ts'
import { appKeys } from './keys.ts'
import { CLAIM_LIFE_MS, MOST_CLAIMS, MOST_HELD, MOST_OF_CLAIM, MOST_OF_SOURCE, SOURCE_SHARE, type PendingInstall, type PendingInstalls, type PendingState } from '../pending-installs.ts'

// Fields are claims, a value is `<end, ms> <events held> <1 when lost> <ids of its events, with commas> <source>`. The clock is
// the server's, one for all processes.
const COMMON = `
local key, field, time = KEYS[1], ARGV[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function parse(value)
  local ends, held, lost, ids, source = string.match(value or '', '^(%d+) (%d+) ([01]) (%S*) (.*)$')
  if not ends or tonumber(ends) <= now then return nil end
  local events = {}
  for id in string.gmatch(ids, '[^,]+') do events[#events + 1] = id end
  return { ends = tonumber(ends), held = tonumber(held), lost = lost, events = events, source = source }
end
local function find() return parse(redis.call('HGET', key, field)) end
local function isOpen(claim) return claim and #claim.events > 0 end
local function without(events, event)
  local rest = {}
  for _, id in ipairs(events) do if id ~= event then rest[#rest + 1] = id end end
  return rest
end
local function put(claim)
  if #claim.events == 0 and claim.lost == '0' then return redis.call('HDEL', key, field) end
  redis.call('HSET', key, field, string.format('%.0f %d %s %s %s', claim.ends, claim.held, claim.lost, table.concat(claim.events, ','), claim.source))
  if redis.call('PTTL', key) < claim.ends - now then redis.call('PEXPIRE', key, claim.ends - now) end
end`

// ARGV: claim, source, event, life, places, share, most events of a claim, of a source. The rule is that of mostOfSource().
const OPEN = `${COMMON}
local known = find()
local isNew = not isOpen(known)
if isNew then known = { ends = now + ARGV[4], held = 0, lost = '0', events = {}, source = ARGV[2] } end
local own, events, others = 0, 0, 0
local claims = redis.call('HGETALL', key)
for i = 1, #claims, 2 do
  local claim = parse(claims[i + 1])
  if not claim then redis.call('HDEL', key, claims[i])
  elseif isOpen(claim) and claim.source == known.source then own, events = own + 1, events + #claim.events
  elseif isOpen(claim) then others = others + 1 end
end
local free = ARGV[5] - others
if isNew and own >= math.min(free, math.max(1, math.floor(ARGV[6] * free * free / ARGV[5]))) then return 0 end
for _, id in ipairs(known.events) do if id == ARGV[3] then return 1 end end
if #known.events >= tonumber(ARGV[7]) or events >= tonumber(ARGV[8]) then return 0 end
known.events[#known.events + 1] = ARGV[3]
put(known)
return 1`

// ARGV: claim.
const STATE = `${COMMON}
local known = find()
return isOpen(known) and 1 or known and 2 or 0`

// ARGV: claim, most events to hold.
const HOLD = `${COMMON}
local known = find()
if not isOpen(known) or known.held >= tonumber(ARGV[2]) then return 0 end
known.held = known.held + 1
put(known)
return 1`

// ARGV: claim, event.
const CLOSE = `${COMMON}
local known = find()
if not known then return 0 end
known.events = without(known.events, ARGV[2])
put(known)
return 1`

// ARGV: claim, event, life.
const LOSE = `${COMMON}
local known = find() or { held = 0, events = {}, source = '' }
put({ ends = now + ARGV[3], held = known.held, lost = '1', events = without(known.events, ARGV[2]), source = known.source })
return 1`

const STATES: readonly PendingState[] = ['closed', 'open', 'lost']

/** Keeps claims in Redis: one hash for each app, which ends with the last of them. Each verb is one round trip. */
export class RedisPendingInstalls implements PendingInstalls {
  readonly #client: BoundedClient
  readonly #key: string
  readonly #lifeMs: number

  /** `client` is that of `connectRedis()`, which bounds each command; `app` is an `appId()`. */
  constructor (client: BoundedClient, app: string, lifeMs = CLAIM_LIFE_MS) {
    this.#client = client
    this.#key = appKeys(app).claims
    this.#lifeMs = lifeMs
  }

  async open (claim: PendingInstall, source: string, eventId: string): Promise<boolean> {
    return await this.#run(OPEN, claim, source, eventId, this.#lifeMs, MOST_CLAIMS, SOURCE_SHARE, MOST_OF_CLAIM, MOST_OF_SOURCE) === 1
  }

  async stateOf (claim: PendingInstall): Promise<PendingState> {
    return STATES[await this.#run(STATE, claim)] as PendingState
  }

  async hold (claim: PendingInstall): Promise<boolean> {
    return await this.#run(HOLD, claim, MOST_HELD) === 1
  }

  async close (claim: PendingInstall, eventId: string): Promise<void> {
    await this.#run(CLOSE, claim, eventId)
  }

  async lose (claim: PendingInstall, eventId: string): Promise<void> {
    await this.#run(LOSE, claim, eventId, this.#lifeMs)
  }

  async #run (script: string, { memberId, token }: PendingInstall, ...rest: Array<string | number>): Promise<number> {
    return await this.#client.eval(script, 1, this.#key, `${memberId} ${token}`, ...rest) as number
  }
}
