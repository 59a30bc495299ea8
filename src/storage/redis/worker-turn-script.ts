import { RECENTLY_ACTIVE_MS } from '../fair-share.ts'
import { BEGINNING } from './begin-events-script.ts'
import { DEAD_ROW, LIBRARY } from './scripts.ts'

/** Most events that are taken over, that are promoted, and dead letters that are evicted, in one turn. */
const MOST_TAKEN = 100
const MOST_DUE = 200
const MOST_EVICTED = 100
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
  unblock(key, seq)
end
local function die (seq, attempts, problem)
  local id, group, key, size = get(seq, 'id', 'group', 'key', 'size')
  if not group then return lose(seq) end
  local older = id and call('HGET', DEAD_IDS, id)
  if older then discard(older) end
  id = id or 'unknown-' .. seq
  weigh(group, -number(size, 0))
  local place = call('INCR', DEATHS)
  set(seq, 'id', id, 'attempts', attempts, 'error', problem, 'failedAt', time, 'place', place)
  call('ZADD', DEAD, place, seq)
  call('ZADD', deadKey(group), place, seq)
  call('ZINCRBY', DEAD_BYTES, number(size, 0), group)
  call('HSET', DEAD_IDS, id, seq)
  count('dead', number(size, 0))
  dead[#dead + 1] = deadRow(seq)
  unblock(key, seq)
end
for i = 1, numbered() do
  local seq, status, attempts, delay, more = argument(), argument(), argument(), numbered(), argument()
  if call('SREM', active, seq) == 1 then
    if status == 'done' then
      local group, key, size = get(seq, 'group', 'key', 'size')
      if group then weigh(group, -number(size, 0)) end
      remove(seq)
      unblock(key, seq)
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
  if isLost then call('PERSIST', listensKey(worker)) end
else
  call('ZREM', WORKERS, worker)
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
  local since = now - ${RECENTLY_ACTIVE_MS}
  for _, group in ipairs(call('ZRANGEBYSCORE', KNOWN, -since, since, 'LIMIT', 0, 100)) do
    if stateOf(group) == 'hung' and call('HEXISTS', BYTES, group) == 1 then call('ZADD', KNOWN, -now, group) else call('ZREM', KNOWN, group) end
  end
end
for _, group in ipairs(hanging) do
  if not isUnverified(group) then
    call('ZADD', KNOWN, -now, group)
    states[group] = 'hung'
    move(group, { 'responsive', 'untested' }, 'hung')
  end
end`

const RETENTION = `
local oldest = call('ZRANGE', DEAD, 0, 0)[1]
for _ = 1, ${MOST_EVICTED} do
  if not oldest or number(get(oldest, 'failedAt'), 0) >= time - maxAge then break end
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
    if number(get(seq, 'failedAt'), 0) >= time - maxAge then evicted = evicted + 1 end
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
call('DEL', SCRATCH)${ARGUMENTS}${OUTCOMES}${WORKERS}${GROUPS}${BEGINNING}${RETENTION}
local rings = {}
for name in pairs(LANES) do rings[#rings + 1] = ringKey(name) end
finish(isNew and call('EXISTS', unpack(rings)) > 0)
return { begun, dead, isMore and 0 or due[2] and math.max(0, due[2] - now) or -1, evicted, isLost and 1 or 0, lost }`
