import type { AppKeys } from '../../storage/redis/keys.ts'
import { LAST_TURN } from './fair-turns.ts'

/** How long it is known which turns portals took, ms. */
const LIFE_MS = 600_000
/** BullMQ promotes as many at once. */
const MOST_DUE = 1_000

/**
 * Lua that gives each event a new turn whose wait is over: BullMQ would have it go on with the one that it got when it came, before
 * everything that is newer, and a portal whose thousand events failed would have all of them handled again before another's first.
 *
 * `late` has the turns that portals took so; the field without a name is the epoch of `turn`. `queue` is the prefix of the queue's keys.
 */
export const lateTurnFunction = ({ turn, late }: AppKeys): string => `
local function retake(now)
  local due = redis.call('ZRANGEBYSCORE', queue .. 'delayed', 0, (now + 1) * 0x1000 - 1, 'LIMIT', 0, ${MOST_DUE})
  if #due == 0 then return end
  local epoch, mark = string.match(redis.call('GET', '${turn}') or '0.0', '^(%d+)%.(%d+)$')
  if redis.call('HGET', '${late}', '') ~= epoch then redis.call('DEL', '${late}') end
  redis.call('HSET', '${late}', '', epoch)
  redis.call('PEXPIRE', '${late}', ${LIFE_MS})
  for _, job in ipairs(due) do
    local held, data = unpack(redis.call('HMGET', queue .. job, 'priority', 'data'))
    if (tonumber(held or '') or 0) > 0 then
      -- A stranger's may be anything. The payload stands last, and may be long.
      local facts = string.match(data or '', '^(.-)"payload":') or ''
      local isRead, event = pcall(cjson.decode, facts .. '"payload":0}')
      local owner = 'portal ' .. (isRead and type(event) == 'table' and tostring(event.turn or event.memberId) or '')
      local next = math.max(tonumber(mark), tonumber(redis.call('HGET', '${late}', owner) or 0)) + 1
      redis.call('HSET', '${late}', owner, string.format('%.0f', next))
      redis.call('HSET', queue .. job, 'priority', string.format('%.0f', math.min(next, ${LAST_TURN})))
    end
  end
end`
