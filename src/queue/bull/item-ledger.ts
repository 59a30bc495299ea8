import type { AppKeys } from '../../storage/redis/keys.ts'
import { JobNotes } from './job-notes.ts'

/** Time after which nobody calls for an item any more that found it taken, ms. */
const CALLERS_LIFE_MS = 60_000

/** What the ledger says when a run begins. */
export interface Entry {
  /** `false` while another run holds the item. */
  free: boolean
  /** Repeats that became part of the event while it waited. */
  repeats: number
}

/** Who holds an item, or found it taken. */
export interface Holder {
  /** BullMQ's token of this run: the next run of the same job has another. Empty for who found it taken. */
  token: string
  item: string
}

// Lets the attempts of a job that failed count anew; returns whether it had. Workers that died of it stay counted: what kills them
// must come to an end, even if it changes all the time.
export const renewFunction = `
local function renew(job)
  local failed = redis.call('HGET', queue .. job, 'atm')
  if not failed then return false end
  redis.call('HINCRBY', queue .. job, 'ats', -failed)
  redis.call('HDEL', queue .. job, 'atm')
  return true
end
`

// What scripts need to keep items apart; `queue` is the prefix of the queue's keys.
// An item is held as long as BullMQ's own lock of the run that took it: who dies lets go when that lapses. A job that found it held
// is put down once it has been put off, to be called when the item is free; it comes again by itself anyway, so such a list may end unread.
// `items` has three kinds of fields, told apart by their words: item (two) → who holds it, item and `?` → others wait for it, job → repeats
// it took in. So one command forgets all that a run leaves behind.
export const ledgerFunctions = ({ items }: AppKeys): string => `
local items = '${items}'
local function isHeld(holder)
  if not holder then return false end
  local token, job = string.match(holder, '^(%S+) (.*)$')
  return redis.call('GET', queue .. job .. ':lock') == token
end
local function itemOf(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'name' then return string.match(fields[i + 1], '^%S+ (.+)$') end
  end
end
local function begin(job, fields, token)
  local item = itemOf(fields)
  if not item then return 1, 0 end
  if token == '' then token = redis.call('GET', queue .. job .. ':lock') or '' end
  local own = token .. ' ' .. job
  if redis.call('HSETNX', items, item, own) == 0 then
    local holder = redis.call('HGET', items, item)
    if holder ~= own and isHeld(holder) then return 0, 0 end
    redis.call('HSET', items, item, own)
  end
  return 1, tonumber(redis.call('HGET', items, job) or 0)
end
local function await(job, item)
  if not isHeld(redis.call('HGET', items, item)) then return job end
  local callers = items .. ':' .. item
  redis.call('HSET', items, item .. ' ?', 1)
  redis.call('ZADD', callers, 'NX', (redis.call('ZRANGE', callers, -1, -1, 'WITHSCORES')[2] or 0) + 1, job)
  redis.call('PEXPIRE', callers, ${CALLERS_LIFE_MS})
  return false
end
-- BullMQ has found the lock of the run: nobody can have taken the item from it. Behind the item may stand a job that is over.
local function free(item, ...)
  if redis.call('HDEL', items, item, item .. ' ?', ...) < 2 then return false end
  local caller, tried = nil, 0
  repeat
    caller, tried = redis.call('ZPOPMIN', items .. ':' .. item)[1], tried + 1
    if not caller then return false end
  until tried == 16 or redis.call('ZSCORE', queue .. 'delayed', caller)
  -- Others may wait behind.
  redis.call('HSET', items, item .. ' ?', 1)
  return caller
end
${renewFunction}
local function absorb(job)
  local repeated = redis.call('HGET', queue .. job, 'deid')
  local last = repeated and redis.call('HGET', queue .. 'dn:' .. repeated, 'jid')
  if not last then return false end
  redis.call('HINCRBY', items, job, 1 + (redis.call('HGET', items, last) or 0))
  redis.call('HDEL', items, last)
  redis.call('HSET', queue .. job, 'data', redis.call('HGET', queue .. 'dn:' .. repeated, 'data'))
  redis.call('DEL', queue .. 'dn:' .. repeated)
  renew(job)
  redis.call('HINCRBY', queue .. job, 'ats', -1)
  return true
end`

/**
 * Says whether a run may begin, and what it stands for: BullMQ keeps repeats of one event of an item apart, but not different
 * events of it. The scripts write it; here stands what they said, until the run is over.
 */
export class ItemLedger {
  readonly #call: (jobId: string) => void
  readonly #entries = new JobNotes<Entry>()
  readonly #holders = new JobNotes<Holder>()

  /** `call` brings a job that waits for an item back at once. */
  constructor (call: (jobId: string) => void) {
    this.#call = call
  }

  /** Notes what a script said of a job that it fetched. */
  note (jobId: string, entry: Entry): void {
    this.#entries.set(jobId, entry)
  }

  /** Begins a run of a job that was fetched. */
  begin (jobId: string, holder: Holder | undefined): Entry {
    const entry = this.#entries.get(jobId) as Entry
    this.#entries.delete(jobId)
    if (holder !== undefined) this.#holders.set(jobId, entry.free ? holder : { ...holder, token: '' })
    return entry
  }

  /** What this job holds, or waits for. */
  holderOf (jobId: string): Holder | undefined {
    return this.#holders.get(jobId)
  }

  /** A script has let go of what the job held, and named who waits for it. The job may run again already. */
  ended (jobId: string, holder: Holder | undefined, caller: string | null): void {
    if (this.#holders.get(jobId) === holder) this.#holders.delete(jobId)
    if (caller !== null) this.#call(caller)
  }
}
