import type { BoundedClient } from './connect.ts'
import { appKeys } from './keys.ts'
import { MAX_ADMITTED_EVENTS, MAX_EVENTS_PER_PENDING_INSTALL, PENDING_INSTALL_TTL_MS, type PendingInstall, type PendingInstalls, type PendingState } from '../pending-installs.ts'
import { NETWORK_SHARE, slotsOf, SUBNETWORK_SHARE, type Source } from '../network-share.ts'

// Fields are pending installs, a value is a PendingRecord as JSON. The clock is the server's, one for all processes.
const COMMON = `
local key, field, time = KEYS[1], ARGV[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function read(text)
  local isRead, record = pcall(cjson.decode, text or '')
  if isRead and type(record) == 'table' and record.endsAt > now then return record end
end
local function find() return read(redis.call('HGET', key, field)) end
local function isOpen(record) return record and next(record.events) ~= nil end
local function put(record)
  if not isOpen(record) and not record.isAbandoned then return redis.call('HDEL', key, field) end
  redis.call('HSET', key, field, cjson.encode(record))
  if redis.call('PTTL', key) < record.endsAt - now then redis.call('PEXPIRE', key, record.endsAt - now) end
end`

// ARGV: install, event, life, most events of an install, path of the source, its places, share of a network, of one within it.
// The rules are those of withEvent() and hasSlot().
const OPEN = `${COMMON}
local record = find()
if not isOpen(record) then record = { admitted = 0, isAbandoned = false, events = {} } end
if record.events[ARGV[2]] then return 1 end
local count = 0
for _ in pairs(record.events) do count = count + 1 end
if count >= tonumber(ARGV[4]) then return 0 end
local path, taken = cjson.decode(ARGV[5]), {}
for level = 1, #path do taken[level] = 0 end
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
  local other = read(all[i + 1])
  if not other then redis.call('HDEL', key, all[i]) end
  for _, theirs in pairs(other and other.events or {}) do
    for level = 1, #path do
      if theirs[level] ~= path[level] then break end
      taken[level] = taken[level] + 1
    end
  end
end
local room = tonumber(ARGV[6])
for level = 2, #path do
  local free = room - taken[level - 1] + taken[level]
  room = math.min(free, math.max(1, math.floor(ARGV[level == 2 and 7 or 8] * free * free / room)))
  if taken[level] >= room then return 0 end
end
record.endsAt = now + ARGV[3]
record.events[ARGV[2]] = path
put(record)
return 1`

// ARGV: install.
const STATE = `${COMMON}
local record = find()
return isOpen(record) and 1 or record and 2 or 0`

// ARGV: install, most events to admit.
const ADMIT_EVENT = `${COMMON}
local record = find()
if not isOpen(record) or record.admitted >= tonumber(ARGV[2]) then return 0 end
record.admitted = record.admitted + 1
put(record)
return 1`

// ARGV: install, event, life of a record that is abandoned by this; '' where it is closed. The rule is that of withoutEvent().
const END_EVENT = `${COMMON}
local record = find()
if not record then return 0 end
record.events[ARGV[2]] = nil
if ARGV[3] ~= '' and (record.admitted > 0 or isOpen(record)) then
  record.isAbandoned, record.endsAt = true, now + ARGV[3]
end
put(record)
return 1`

const STATES: readonly PendingState[] = ['closed', 'open', 'abandoned']

/** Keeps pending installs in Redis: one hash for each app, which ends with the last of them. Each verb is one round trip. */
export class RedisPendingInstalls implements PendingInstalls {
  readonly #client: BoundedClient
  readonly #key: string
  readonly #lifeMs: number

  /** `app` is an `appId()`. */
  constructor (client: BoundedClient, app: string, lifeMs = PENDING_INSTALL_TTL_MS) {
    this.#client = client
    this.#key = appKeys(app).pendingInstalls
    this.#lifeMs = lifeMs
  }

  async open (pending: PendingInstall, source: Source, eventId: string): Promise<boolean> {
    const rules = [MAX_EVENTS_PER_PENDING_INSTALL, JSON.stringify(source.path), slotsOf(source), NETWORK_SHARE, SUBNETWORK_SHARE]
    return await this.#run(OPEN, pending, eventId, this.#lifeMs, ...rules) === 1
  }

  async stateOf (pending: PendingInstall): Promise<PendingState> {
    return STATES[await this.#run(STATE, pending)] as PendingState
  }

  async admitEvent (pending: PendingInstall): Promise<boolean> {
    return await this.#run(ADMIT_EVENT, pending, MAX_ADMITTED_EVENTS) === 1
  }

  async close (pending: PendingInstall, eventId: string): Promise<void> {
    await this.#run(END_EVENT, pending, eventId, '')
  }

  async abandon (pending: PendingInstall, eventId: string): Promise<void> {
    await this.#run(END_EVENT, pending, eventId, this.#lifeMs)
  }

  async #run (script: string, { memberId, token }: PendingInstall, ...rest: Array<string | number>): Promise<number> {
    return await this.#client.eval(script, 1, this.#key, `${memberId} ${token}`, ...rest) as number
  }
}
