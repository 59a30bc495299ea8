import { HUNG_SHARE, RECENTLY_ACTIVE_MS, RESPONSIVE_SHARE, UNTESTED_SHARE, UNVERIFIED_SHARE } from '../fair-share.ts'

/** Most events that are looked at to begin some, and bytes of bodies after which no more is begun. */
const MOST_LOOKS = 500
const MOST_BYTES = 4 * 1024 * 1024

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

/** The rule of `hasFreeSlot`. */
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
  for _, other in ipairs(call('ZRANGEBYSCORE', KNOWN, now - ${RECENTLY_ACTIVE_MS}, '+inf', 'LIMIT', 0, 2)) do if other ~= group then return false end end
  return true
end
local function isFull (name) return STATES[name] ~= 'responsive' and (untested >= mostUntested or (name == 'hung' and hung >= mostHung)) end
local function hasFreeSlot (name, group)
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
    elseif hasFreeSlot(name, group) then
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
      if not heads[name] or (heads[name].group and not hasFreeSlot(name, heads[name].group)) then look(name) end
      if heads[name].group and (not first or heads[name].score < heads[first].score) then first = name end
    end
    if not first then break end
    begin(first, heads[first].group)
    look(first)
  end
end
isMore = isMore or looks <= 0 or bytes >= ${MOST_BYTES}`

/** The end of a turn: takes back what was left to others, and begins what is next. */
export const BEGINNING = `${LISTENING}${ROOM}${BEGIN}`
