import type { Redis } from 'ioredis'
import { withinDeadline } from '../../storage/within-deadline.ts'
import { TurnBatch } from '../../storage/redis/turn-batch.ts'
import { defineScript, type Script } from './bull-scripts.ts'
import { renewFunction } from './item-ledger.ts'

/** A job to be added. */
export interface NewJob {
  id: string
  name: string
  /** JSON. */
  data: string
  /** ms since the epoch. */
  timestamp: number
  /** 0 for none. */
  priority: number
  /** Deduplication id, or `''`. */
  repeated: string
}

export interface AddBatchPlaces {
  /** Keys that the script of BullMQ takes. */
  keys: string[]
  /** Prefix of the queue's keys. */
  queue: string
  /** Hash: among others, how many repeats a job took in. */
  items: string
}

/** Most jobs of one command. */
const MOST_JOBS = 8

// ARGV: prefix of the queue's keys; then six of each job, in the order below.
// BullMQ's script unpacks its arguments; here it finds them unpacked. A repeat is counted before the script drops it silently, and
// by the same rule: what is waiting takes the repeat in; beside what is active, only the last repeat is kept, and stands for
// those before it. What has failed is no matter of the repeat: attempts count anew, and a backoff ends at once (`reschedule` of
// BullMQ makes the delayed job due when the repeat came).
const addMany = (script: string, items: string) => `
local items, queue = '${items}', ARGV[1]
local cmsgpack = { unpack = function (unpacked) return unpacked end }
${renewFunction}local function count(job, repeated, timestamp, data)
  local owner = redis.call('GET', queue .. 'de:' .. repeated)
  if not owner or redis.call('EXISTS', queue .. owner) == 0 or redis.call('EXISTS', queue .. job) == 1 then return end
  if redis.call('LPOS', queue .. 'active', owner) then
    local last = redis.call('HGET', queue .. 'dn:' .. repeated, 'jid')
    if last and last ~= job then
      redis.call('HSET', items, job, (redis.call('HGET', items, last) or 0) + 1)
      redis.call('HDEL', items, last)
    end
  else
    redis.call('HINCRBY', items, owner, 1)
    redis.call('HSET', queue .. owner, 'data', data)
    if renew(owner) then
      local due = redis.call('ZSCORE', queue .. 'delayed', owner)
      return due and tonumber(due) > tonumber(timestamp) * 0x1000
    end
  end
end
local function add(KEYS, ARGV)
${script}
end
local answers = {}
for i = 2, #ARGV, 6 do
  local id, name, data, timestamp, priority, repeated = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5]
  local args, opts = { queue, id, name, timestamp }, {}
  if priority > 0 then opts.priority = priority end
  if repeated ~= '' then
    local isHastened = count(id, repeated, timestamp, data)
    args[9] = queue .. 'de:' .. repeated
    opts.de = { id = repeated, keepLastIfActive = true, reschedule = isHastened or nil }
  end
  answers[#answers + 1] = add(KEYS, { args, data, opts })
end
return answers`

/**
 * Runs the script of BullMQ that adds a job for all jobs of one turn of the event loop in one command, and counts, under the
 * id of each job, how many repeats it took in. `addBulk` takes a command of ioredis for each job, and BullMQ tells nobody what
 * became of a repeat.
 *
 * Resolves with the id of the job that the event is in now.
 */
export class AddBatch extends TurnBatch<NewJob, string> {
  constructor (client: Redis, command: string, { lua, numberOfKeys = 0 }: Script, { keys, queue, items }: AddBatchPlaces) {
    const add = defineScript<string[]>(client, command, { lua: addMany(lua, items), numberOfKeys })
    super(jobs => {
      const args: unknown[] = [...keys, queue]
      for (const { id, name, data, timestamp, priority, repeated } of jobs) args.push(id, name, data, timestamp, priority, repeated)
      return withinDeadline(add(args))
    }, MOST_JOBS)
  }
}
