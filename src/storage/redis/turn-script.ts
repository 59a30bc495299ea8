import { HUNG_SHARE, LATELY_MS, RESPONSIVE_SHARE, UNTESTED_SHARE, UNVERIFIED_SHARE } from '../fair-share.ts'
import { DEAD_ROW, LIBRARY } from './scripts.ts'

/** Most events that are taken over, that are promoted, and dead letters that are evicted, in one turn. */
const MOST_TAKEN = 100
const MOST_DUE = 200
const MOST_EVICTED = 100
/** Most events that are looked at to begin some, and bytes of bodies after which no more is begun. */
const MOST_LOOKS = 500
const MOST_BYTES = 4 * 1024 * 1024
/** What a worker listens to is kept so long after its lease, ms: it may come back. */
const LISTENS_MS = 86_400_000

const ARGUMENTS = `
local at = 0
local function argument () at = at + 1 return ARGV[at] end
local function numbered () return tonumber(argument()) end
local function list () local items = {} for i = 1, numbered() do items[i] = argument() end return items end
local worker, lease, free, concurrency, untested, hung = argument(), numbered(), numbered(), numbered(), numbered(), numbered()
local maxAttempts, maxAge, maxCount, maxBytes = numbered(), numbered(), numbered(), numbered()
local running, most, all = {}, {}, 0
for i = 1, numbered() do
  local group = argument()
  running[group], most[group] = numbered(), numbered()
  all = all + running[group]
end
local responsive, hanging, active = list(), list(), activeKey(worker)
local begun, dead, evicted, isLost, isMore = {}, {}, 0, false, false`

const OUTCOMES = `${DEAD_ROW}
-- Puts back what was begun; a repeat that came meanwhile becomes one with it, and what failed is then tried at once. What is to be tried at once keeps its key.
local function putBack (seq, attempts, delay, retry)
  local lane, group, key, dedup, crashes, size, coalesced = get(seq, 'lane', 'group', 'key', 'dedup', 'crashes', 'size', 'coalesced')
  if not group then return lose(seq) end
  local repeated = dedup and dedup ~= '' and call('HGET', DEDUP, dedup)
  if repeated then
    local lane, itsGroup, code, itsSize, times, body = get(repeated, 'lane', 'group', 'code', 'size', 'coalesced', 'body')
    if body then
      leave(repeated, lane, itsGroup, key, code)
      weigh(itsGroup, -number(itsSize, 0))
      weigh(group, number(itsSize, 0) - number(size, 0))
      call('HDEL', eventKey(seq), 'progress')
      set(seq, 'body', body, 'size', itsSize, 'coalesced', number(coalesced, 1) + number(times, 1))
      attempts = number(crashes, 0)
    end
    remove(repeated)
  end
  if dedup and dedup ~= '' then call('HSET', DEDUP, dedup, seq) end
  set(seq, 'attempts', attempts)
  if delay == 0 or (repeated and retry == '1') then return wait(seq, lane, group) end
  set(seq, 'retry', retry)
  call('ZADD', DELAYED, now + delay, seq)
  unblock(key)
end
local function die (seq, attempts, problem)
  local id, group, key, size = get(seq, 'id', 'group', 'key', 'size')
  if not group then return lose(seq) end
  local older = id and call('HGET', DEAD_IDS, id)
  if older then discard(older) end
  id = id or 'unknown-' .. seq
  weigh(group, -number(size, 0))
  local place = call('INCR', DEATHS)
  set(seq, 'id', id, 'attempts', attempts, 'error', problem, 'failedAt', now, 'place', place)
  call('ZADD', DEAD, place, seq)
  call('ZADD', deadKey(group), place, seq)
  call('ZINCRBY', DEAD_BYTES, number(size, 0), group)
  call('HSET', DEAD_IDS, id, seq)
  count('dead', number(size, 0))
  dead[#dead + 1] = deadRow(seq)
  unblock(key)
end
for i = 1, numbered() do
  local seq, status, attempts, delay, more = argument(), argument(), argument(), numbered(), argument()
  if call('SREM', active, seq) == 1 then
    if status == 'done' then
      local group, key, size = get(seq, 'group', 'key', 'size')
      if group then weigh(group, -number(size, 0)) end
      remove(seq)
      unblock(key)
    elseif status == 'wait' then putBack(seq, attempts, delay, more)
    else die(seq, attempts, more) end
  end
end
-- What a worker runs that it does not know of.
local function giveBack (known)
  local isKnown = {}
  for _, seq in ipairs(known) do isKnown[seq] = true end
  for _, seq in ipairs(call('SMEMBERS', active)) do
    if not isKnown[seq] then
      call('SREM', active, seq)
      putBack(seq, number(get(seq, 'attempts'), 0), 0, '')
    end
  end
end
local knows = numbered()
if lease == 0 then giveBack({}) elseif knows == 1 then giveBack(list()) end`

const WORKERS = `
local function crash (seq)
  local group, attempts, crashes = get(seq, 'group', 'attempts', 'crashes')
  if not group then return lose(seq) end
  attempts = number(attempts, 0) + 1
  set(seq, 'crashes', number(crashes, 0) + 1)
  if attempts >= maxAttempts then die(seq, attempts, '{"message":"The process ended during the attempt"}')
  else putBack(seq, attempts, 0, '') end
end
if lease > 0 then
  isLost = call('ZADD', WORKERS, now + lease, worker) == 1
  if isLost then
    call('HSET', LEASES, worker, lease)
    call('PERSIST', listensKey(worker))
  end
  -- The clock may have been set back.
  local last = call('ZRANGE', WORKERS, -1, -1, 'WITHSCORES')
  if tonumber(last[2]) > now + lease then
    local its = number(call('HGET', LEASES, last[1]), lease)
    if tonumber(last[2]) > now + its then call('ZADD', WORKERS, now + its, last[1]) end
  end
else
  call('ZREM', WORKERS, worker)
  call('HDEL', LEASES, worker)
  call('DEL', listensKey(worker))
end
local places = ${MOST_TAKEN}
while places > 0 do
  local first = call('ZRANGE', WORKERS, 0, 0, 'WITHSCORES')
  local gone = first[1]
  if not gone or tonumber(first[2]) > now then break end
  local seqs = call('SPOP', activeKey(gone), places)
  for _, seq in ipairs(seqs) do crash(seq) end
  places = places - #seqs
  if call('EXISTS', activeKey(gone)) == 0 then
    call('ZREM', WORKERS, gone)
    call('HDEL', LEASES, gone)
    call('PEXPIRE', listensKey(gone), ${LISTENS_MS})
  end
end
isMore = places == 0
local due = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
if due[1] and tonumber(due[2]) <= now then
  local seqs = call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, ${MOST_DUE})
  call('ZREMRANGEBYRANK', DELAYED, 0, #seqs - 1)
  for _, seq in ipairs(seqs) do
    local lane, group = get(seq, 'lane', 'group')
    if group then
      set(seq, 'retry', '')
      wait(seq, lane, group)
    else lose(seq) end
  end
  due = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
end`

const GROUPS = `
-- A group that waits goes on in the ring of its state, at its place.
local function move (group, from, to)
  for _, name in ipairs(from) do
    local score = call('ZSCORE', ringKey(name), group)
    if score then
      call('ZREM', ringKey(name), group)
      call('ZADD', ringKey(to), score, group)
    end
  end
end
local pairsOf = {}
for _, group in ipairs(responsive) do
  if not isUnverified(group) then
    pairsOf[#pairsOf + 1] = now
    pairsOf[#pairsOf + 1] = group
    if stateOf(group) ~= 'responsive' then
      states[group] = 'responsive'
      move(group, { 'untested', 'hung' }, 'responsive')
    end
  end
end
if #pairsOf > 0 then
  call('ZADD', KNOWN, unpack(pairsOf))
  local old = call('ZRANGEBYSCORE', KNOWN, 0, now - ${LATELY_MS}, 'LIMIT', 0, 100)
  if #old > 0 then call('ZREM', KNOWN, unpack(old)) end
end
for _, group in ipairs(hanging) do
  if not isUnverified(group) then
    call('ZADD', KNOWN, -now, group)
    states[group] = 'hung'
    move(group, { 'responsive', 'untested' }, 'hung')
  end
end`

const LISTENING = `
local function listens (who, code)
  local key = listensKey(who)
  if call('SISMEMBER', key, code) == 1 then return true end
  local stem = string.match(code, '^(.+)_%d+$')
  return (stem and call('SISMEMBER', key, stem) == 1) or call('EXISTS', key) == 0
end
local heard, heardByOthers = {}, {}
local function hears (code)
  if heard[code] == nil then heard[code] = listens(worker, code) end
  return heard[code]
end
local function othersHear (code)
  if heardByOthers[code] == nil then
    heardByOthers[code] = false
    for _, other in ipairs(call('ZRANGEBYSCORE', WORKERS, now, '+inf')) do
      if other ~= worker and listens(other, code) then heardByOthers[code] = true end
    end
  end
  return heardByOthers[code]
end
local open = free
for _, code in ipairs(open > 0 and call('SRANDMEMBER', DEFERRED, 50) or {}) do
  if open > 0 and (hears(code) or not othersHear(code)) then
    local seqs = call('ZPOPMIN', deferredKey(code), open)
    for i = 1, #seqs, 2 do
      local lane, group = get(seqs[i], 'lane', 'group')
      if group then wait(seqs[i], lane, group, true) else lose(seqs[i]) end
      open = open - 1
    end
    if call('EXISTS', deferredKey(code)) == 0 then call('SREM', DEFERRED, code) end
  end
end`

/** The rule of `hasRoom`. */
const ROOM = `
local RINGS = { ['0'] = { 'priority', 'unverified' }, ['1'] = REST }
local LANES = { priority = '0', unverified = '0', responsive = '1', untested = '1', hung = '1' }
local STATES = { priority = 'responsive', unverified = 'untested', responsive = 'responsive', untested = 'untested', hung = 'hung' }
local mostHung, mostUntested = math.max(1, math.floor(concurrency * ${HUNG_SHARE})), math.max(1, math.floor(concurrency * ${UNTESTED_SHARE}))
local mostUnverified = math.max(1, math.floor(concurrency * ${UNVERIFIED_SHARE}))
local function isAlone (name, group)
  for other, own in pairs(running) do if own > 0 and other ~= group then return false end end
  local waiting = 0
  for _, ring in ipairs(RINGS[LANES[name]]) do waiting = waiting + call('ZCARD', ringKey(ring)) end
  if waiting > 1 then return false end
  for _, other in ipairs(call('ZRANGEBYSCORE', KNOWN, now - ${LATELY_MS}, '+inf', 'LIMIT', 0, 2)) do if other ~= group then return false end end
  return true
end
local function isFull (name) return STATES[name] ~= 'responsive' and (untested >= mostUntested or (name == 'hung' and hung >= mostHung)) end
local function hasRoom (name, group)
  local own = running[group] or 0
  if own == 0 and not isFull(name) then return true end
  if STATES[name] == 'responsive' and (name == 'priority' or own < (most[group] or 1)) and own + 1 <= ${RESPONSIVE_SHARE} * (concurrency - all - 1) then return true end
  if isUnverified(group) and own >= mostUnverified then return false end
  return name ~= 'hung' and isAlone(name, group)
end`

const BEGIN = `
local looks, bytes = ${MOST_LOOKS}, 0
local function take (key, seq)
  if call('HSETNX', BUSY, key, seq) == 1 then return true end
  local holder = call('HGET', BUSY, key)
  if holder == seq then return true end
  -- Somebody may have deleted the event that has it.
  if call('EXISTS', eventKey(holder)) == 1 then return false end
  call('HSET', BUSY, key, seq)
  return true
end
local function tryBegin (name, group, seq)
  local id, code, key, dedup, size, attempts = get(seq, 'id', 'code', 'key', 'dedup', 'size', 'attempts')
  if not id and not code and not size then return lose(seq) end
  if not (id and code and key and dedup and tonumber(size or '') and tonumber(attempts or '')) or call('HEXISTS', eventKey(seq), 'body') == 0 then
    set(seq, 'group', group, 'body', get(seq, 'body') or '')
    if dedup and dedup ~= '' then call('HDEL', DEDUP, dedup) end
    return die(seq, number(attempts, 0), '{"message":"What is stored of the event is damaged"}')
  end
  if key ~= '' and not take(key, seq) then return call('ZADD', blockedKey(key), seq, seq) and nil end
  if LANES[name] == '1' and not hears(code) and othersHear(code) then
    call('SADD', DEFERRED, code)
    return call('ZADD', deferredKey(code), seq, seq) and nil
  end
  if dedup ~= '' then call('HDEL', DEDUP, dedup) end
  call('SADD', active, seq)
  local body, progress, coalesced = get(seq, 'body', 'progress', 'coalesced')
  begun[#begun + 1] = { seq, group, STATES[name], number(attempts, 0), number(coalesced, 1), progress, body }
  free, all, bytes, running[group] = free - 1, all + 1, bytes + #body, (running[group] or 0) + 1
  if STATES[name] ~= 'responsive' then untested = untested + 1 end
  if name == 'hung' then hung = hung + 1 end
  return true
end
local function begin (name, group)
  local line, hasBegun = waitingKey(LANES[name], group), false
  while looks > 0 and not hasBegun do
    looks = looks - 1
    local seq = call('ZPOPMIN', line)[1]
    if not seq then break end
    hasBegun = tryBegin(name, group, seq)
  end
  if call('ZCARD', line) == 0 then call('ZREM', ringKey(name), group)
  elseif hasBegun then call('ZADD', ringKey(name), nextTurn(), group) end
end
-- Heads of rings: the first group of each that has room. Room only shrinks in a turn.
local heads = {}
local function look (name)
  local head = heads[name] or { skipped = 0 }
  heads[name], head.group = head, nil
  while looks > 0 do
    looks = looks - 1
    local group, score = unpack(call('ZRANGE', ringKey(name), head.skipped, head.skipped, 'WITHSCORES'))
    if not group then return end
    if name == 'responsive' and stateOf(group) ~= name then
      move(group, { name }, stateOf(group))
      heads[stateOf(group)] = nil
    elseif hasRoom(name, group) then
      head.group, head.score = group, tonumber(score)
      return
    elseif isFull(name) then return
    else head.skipped = head.skipped + 1 end
  end
end
for _, lane in ipairs({ '0', '1' }) do
  while free > 0 and looks > 0 and bytes < ${MOST_BYTES} do
    local first
    for _, name in ipairs(RINGS[lane]) do
      if not heads[name] or (heads[name].group and not hasRoom(name, heads[name].group)) then look(name) end
      if heads[name].group and (not first or heads[name].score < heads[first].score) then first = name end
    end
    if not first then break end
    begin(first, heads[first].group)
    look(first)
  end
end
isMore = isMore or looks <= 0 or bytes >= ${MOST_BYTES}`

const RETENTION = `
local oldest = call('ZRANGE', DEAD, 0, 0)[1]
for _ = 1, ${MOST_EVICTED} do
  if not oldest or number(get(oldest, 'failedAt'), 0) >= now - maxAge then break end
  discard(oldest)
  oldest = call('ZRANGE', DEAD, 0, 0)[1]
end
if #dead > 0 or #begun == 0 then
  local total, amount = number(call('HGET', TOTALS, 'dead'), 0), call('ZCARD', DEAD)
  for _ = 1, ${MOST_EVICTED} do
    if amount <= maxCount and total + (sums.dead or 0) <= maxBytes then break end
    -- The group that has the most of them: it pushes out its own.
    local group = call('ZREVRANGE', DEAD_BYTES, 0, 0)[1]
    local seq = group and call('ZRANGE', deadKey(group), 0, 0)[1]
    if not seq then
      if group then call('ZREM', DEAD_BYTES, group) end
      break
    end
    if number(get(seq, 'failedAt'), 0) >= now - maxAge then evicted = evicted + 1 end
    discard(seq)
    amount = amount - 1
  end
end`

/**
 * One turn of a worker. ARGV in the order that `ARGUMENTS` and the parts behind it read them. Answers begun events, dead letters, ms until the next is due
 * (-1: none is delayed), evicted, whether the lease was lost, and how many events were lost because somebody deleted what is stored of them.
 *
 * It begins with a command that needs no memory: a full Redis takes the others then, and becomes empty again.
 */
export const TURN = `${LIBRARY}
call('DEL', SCRATCH)${ARGUMENTS}${OUTCOMES}${WORKERS}${GROUPS}${LISTENING}${ROOM}${BEGIN}${RETENTION}
local rings = {}
for name in pairs(LANES) do rings[#rings + 1] = ringKey(name) end
finish(isNew and call('EXISTS', unpack(rings)) > 0)
return { begun, dead, isMore and 0 or due[2] and math.max(0, due[2] - now) or -1, evicted, isLost and 1 or 0, lost }`
