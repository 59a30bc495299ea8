import { EVENT_OVERHEAD_BYTES, GROUP_SHARE, MAX_UNVERIFIED_BYTES, OLDEST_GROUPS } from '../event-store.ts'
import { RESPONSIVE_MS } from '../fair-share.ts'
import { EVENT_KEYS } from './keys.ts'

/**
 * What scripts of events share. `time` is that of the server, `now` the same unless the server's clock was set back: it never goes back by more than a
 * second, so that no event is delayed and no lease lasts longer than it was to. Sums are stored once, by `finish`.
 */
export const LIBRARY = `${EVENT_KEYS}
local call = redis.call
local clock = call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stored = call('HMGET', CLOCK, 'now', 'ahead')
local latest, ahead = tonumber(stored[1] or nil) or 0, tonumber(stored[2] or nil) or 0
if time + ahead < latest then ahead = latest - time end
local now = time + ahead
local sums, weights, turns, isNew, lost = {}, {}, nil, false, 0

local function number (value, otherwise) return tonumber(value or nil) or otherwise end
local function isUnverified (group) return string.sub(group, 1, 1) == '?' end
-- Fields of an event; none where somebody else put something in its place.
local function get (seq, ...)
  local values = redis.pcall('HMGET', eventKey(seq), ...)
  if not values.err then return unpack(values) end
end
local function set (seq, ...) call('HSET', eventKey(seq), ...) end
local function count (name, by) sums[name] = (sums[name] or 0) + by end
local function weigh (group, by)
  weights[group] = (weights[group] or 0) + by
  count(isUnverified(group) and 'unverified' or 'verified', by)
end
local function remove (seq)
  call('DEL', eventKey(seq))
  count('events', -1)
end
local function lose (seq)
  remove(seq)
  lost = lost + 1
end
local function nextTurn ()
  turns = (turns or number(call('GET', TURN), 0)) + 1
  return turns
end

local states = {}
local function stateOf (group)
  if not states[group] then
    local at = not isUnverified(group) and number(call('ZSCORE', KNOWN, group)) or 0
    states[group] = at < 0 and 'hung' or at >= now - ${RESPONSIVE_MS} and 'responsive' or 'untested'
  end
  return states[group]
end
local REST = { 'responsive', 'untested', 'hung' }
local function wait (seq, lane, group, isFirst)
  if lane ~= '0' then lane = '1' end
  local line = waitingKey(lane, group)
  call('ZADD', line, seq, seq)
  if isFirst or call('ZCARD', line) == 1 then
    local ring = lane == '1' and stateOf(group) or isUnverified(group) and 'unverified' or 'priority'
    if isFirst then call('ZADD', ringKey(ring), 'LT', 0, group) else call('ZADD', ringKey(ring), nextTurn(), group) end
  end
  isNew = true
end
-- Takes a pending event out of where it is.
local function leave (seq, lane, group, key, code)
  local line = waitingKey(lane, group)
  if call('ZREM', line, seq) == 1 then
    if call('ZCARD', line) == 0 then
      for _, ring in ipairs(lane == '0' and { 'priority', 'unverified' } or REST) do call('ZREM', ringKey(ring), group) end
    end
  elseif call('ZREM', DELAYED, seq) == 0 and call('ZREM', blockedKey(key or ''), seq) == 0 then
    call('ZREM', deferredKey(code or ''), seq)
  end
end
local function unblock (key, seq)
  local holder = key and key ~= '' and call('HGET', BUSY, key)
  if holder and holder ~= seq then return end
  while key and key ~= '' do
    local seq = call('ZPOPMIN', blockedKey(key))[1]
    if not seq then return call('HDEL', BUSY, key) end
    local lane, group = get(seq, 'lane', 'group')
    if lane and group then
      -- What comes later does not get the key before it.
      call('HSET', BUSY, key, seq)
      return wait(seq, lane, group)
    end
    lose(seq)
  end
end
local function discard (seq)
  local id, group, size = get(seq, 'id', 'group', 'size')
  call('ZREM', DEAD, seq)
  if id then call('HDEL', DEAD_IDS, id) end
  if group then
    call('ZREM', deadKey(group), seq)
    if number(call('ZINCRBY', DEAD_BYTES, -number(size, 0), group), 0) <= 0 then call('ZREM', DEAD_BYTES, group) end
  end
  count('dead', -number(size, 0))
  remove(seq)
end
local function finish (isTold)
  for group, by in pairs(weights) do
    if by ~= 0 and call('HINCRBY', BYTES, group, by) <= 0 then call('HDEL', BYTES, group) end
  end
  for name, by in pairs(sums) do if by ~= 0 then call('HINCRBY', TOTALS, name, by) end end
  if turns then call('SET', TURN, turns) end
  if now >= latest + 1000 or ahead ~= (tonumber(stored[2] or nil) or 0) then call('HSET', CLOCK, 'now', now, 'ahead', ahead) end
  if isNew and isTold then call('PUBLISH', CHANNEL, '') end
end`

const COALESCE = `
local maxBytes, owns, alls = tonumber(ARGV[1]), {}, {}
local function fits (group, by)
  local name, most = 'verified', maxBytes
  if isUnverified(group) then name, most = 'unverified', ${MAX_UNVERIFIED_BYTES} end
  owns[group] = owns[group] or number(call('HGET', BYTES, group), 0)
  alls[name] = alls[name] or number(call('HGET', TOTALS, name), 0)
  local own, all = owns[group] + (weights[group] or 0), alls[name] + (sums[name] or 0)
  return own + by <= ${GROUP_SHARE} * (most - (all - own))
end
-- Makes an event one with what is pending of its dedup; nil when nothing is.
local function coalesce (dedup, times, body)
  local seq = dedup ~= '' and call('HGET', DEDUP, dedup)
  if not seq then return nil end
  local lane, group, size, coalesced, crashes, retry = get(seq, 'lane', 'group', 'size', 'coalesced', 'crashes', 'retry')
  if not group or not lane then return nil end
  if body then
    local grown = #body + ${EVENT_OVERHEAD_BYTES} - number(size, 0)
    if grown > 0 and not fits(group, grown) then return 'over_share' end
    weigh(group, grown)
    set(seq, 'body', body, 'size', #body + ${EVENT_OVERHEAD_BYTES})
  end
  call('HDEL', eventKey(seq), 'progress')
  set(seq, 'coalesced', number(coalesced, 1) + times, 'attempts', number(crashes, 0), 'retry', '')
  if retry == '1' then
    call('ZREM', DELAYED, seq)
    wait(seq, lane, group)
  end
  return 'coalesced'
end`

/** ARGV: most bytes; of each event id, group, lane, code, key, dedup, body. */
export const ADD = `${LIBRARY}${COALESCE}
local amount, results = (#ARGV - 1) / 7, {}
local seq = call('INCRBY', SEQ, amount) - amount
for i = 2, #ARGV, 7 do
  local id, group, lane, code, key, dedup, body = unpack(ARGV, i, i + 6)
  local size, result = #body + ${EVENT_OVERHEAD_BYTES}, coalesce(dedup, 1, body)
  if not result then
    if fits(group, size) then
      seq, result = seq + 1, 'stored'
      call('HSET', eventKey(seq), 'id', id, 'group', group, 'lane', lane, 'code', code, 'key', key, 'dedup', dedup, 'size', size, 'attempts', 0, 'crashes', 0, 'coalesced', 1, 'body', body)
      if dedup ~= '' then call('HSET', DEDUP, dedup, seq) end
      count('events', 1)
      weigh(group, size)
      wait(seq, lane, group)
    else result = 'over_share' end
  end
  results[#results + 1] = result
end
finish(true)
return results`

/** ARGV: worker, seq, progress. A full Redis takes it all the same, as it takes a turn. */
export const SAVE = `${EVENT_KEYS}
redis.call('DEL', SCRATCH)
if redis.call('SISMEMBER', activeKey(ARGV[1]), ARGV[2]) == 0 then return 0 end
redis.call('HSET', eventKey(ARGV[2]), 'progress', ARGV[3])
return 1`

/** ARGV: worker, then codes, one at least; none where it listens to everything. */
export const LISTEN = `${EVENT_KEYS}
local listens = listensKey(ARGV[1])
redis.call('DEL', listens)
if #ARGV > 1 then
  redis.call('SADD', listens, unpack(ARGV, 2))
  if not redis.call('ZSCORE', WORKERS, ARGV[1]) then redis.call('PEXPIRE', listens, 86400000) end
end`

/** ARGV: most bytes, id. */
export const REPLAY = `${LIBRARY}${COALESCE}
call('DEL', SCRATCH)
local seq = call('HGET', DEAD_IDS, ARGV[2])
if not seq then return 0 end
local lane, group, dedup, coalesced, size = get(seq, 'lane', 'group', 'dedup', 'coalesced', 'size')
if not group or coalesce(dedup or '', number(coalesced, 1)) then discard(seq)
else
  -- As one that is discarded, but that its row stays.
  call('ZREM', DEAD, seq)
  call('HDEL', DEAD_IDS, ARGV[2])
  call('ZREM', deadKey(group), seq)
  if number(call('ZINCRBY', DEAD_BYTES, -number(size, 0), group), 0) <= 0 then call('ZREM', DEAD_BYTES, group) end
  count('dead', -number(size, 0))
  weigh(group, number(size, 0))
  set(seq, 'attempts', 0, 'crashes', 0, 'retry', '')
  call('HDEL', eventKey(seq), 'error', 'failedAt', 'place')
  if dedup and dedup ~= '' then call('HSET', DEDUP, dedup, seq) end
  wait(seq, lane, group)
end
finish(true)
return 1`

/** ARGV: id. */
export const DISCARD = `${LIBRARY}
local seq = call('HGET', DEAD_IDS, ARGV[1])
if not seq then return 0 end
discard(seq)
finish(false)
return 1`

export const DEAD_ROW = `
local function deadRow (seq) return redis.call('HMGET', eventKey(seq), 'place', 'id', 'body', 'failedAt', 'attempts', 'coalesced', 'error') end`

/** ARGV: place to begin below, how many. */
export const LIST_DEAD = `${EVENT_KEYS}${DEAD_ROW}
local rows = {}
for _, seq in ipairs(redis.call('ZREVRANGEBYSCORE', DEAD, '(' .. ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])) do rows[#rows + 1] = deadRow(seq) end
return rows`

/** ARGV: id. */
export const GET_DEAD = `${EVENT_KEYS}${DEAD_ROW}
local seq = redis.call('HGET', DEAD_IDS, ARGV[1])
return seq and deadRow(seq)`

export const OLDEST = `${EVENT_KEYS}
local oldest
for name, lane in pairs({ priority = 0, unverified = 0, responsive = 1, untested = 1, hung = 1 }) do
  for _, group in ipairs(redis.call('ZRANGE', ringKey(name), 0, ${OLDEST_GROUPS - 1})) do
    local seq = tonumber(redis.call('ZRANGE', waitingKey(lane, group), 0, 0)[1])
    if seq and (not oldest or seq < oldest) then oldest = seq end
  end
end
return oldest and redis.call('HGET', eventKey(string.format('%.0f', oldest)), 'body')`

export const COUNTS = `${EVENT_KEYS}
local active, dead = 0, redis.call('ZCARD', DEAD)
for _, worker in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do active = active + redis.call('SCARD', activeKey(worker)) end
return { math.max(0, (tonumber(redis.call('HGET', TOTALS, 'events') or 0)) - active - dead), active, dead }`
