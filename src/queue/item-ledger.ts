import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { AppKeys } from '../redis/keys.ts'
import { withinDeadline } from '../redis/deadline.ts'

/** Time after which nobody calls for an item any more that found it taken, ms. */
const CALLERS_LIFE_MS = 60_000

/** What the ledger says when a run begins. */
export interface Entry {
  /** `false` while another run holds the item. */
  free: boolean
  /** Repeats that became part of the event while it waited. */
  repeats: number
}

/** A run as the ledger knows it. */
export interface Line {
  jobId: string
  /** BullMQ's token of this run: the next run of the same job has another. */
  token: string
  /** Key of the item that it needs for itself. */
  item: string
}

// KEYS: busy, repeats, prefix of the queue's keys. ARGV: four for each line (verb, job, item, token).
// An item is held as long as BullMQ's own lock of the run that took it: who dies lets go when that lapses. Who finds it held
// is put down, to be called when it is free; that it comes again by itself anyway, is why such a list may end unread.
const LEDGER = `
local busy, repeats, queue = KEYS[1], KEYS[2], KEYS[3]
local entries, called = {}, {}
local function isHeld(holder)
  if not holder then return false end
  local token, job = string.match(holder, '^(%S+) (.*)$')
  return redis.call('GET', queue .. job .. ':lock') == token
end
local function begin(job, item, token)
  local holder = redis.call('HGET', busy, item)
  if holder ~= token .. ' ' .. job and isHeld(holder) then
    local callers = busy .. ':' .. item
    redis.call('RPUSH', callers, job)
    redis.call('PEXPIRE', callers, ${CALLERS_LIFE_MS})
    return {0, 0}
  end
  redis.call('HSET', busy, item, token .. ' ' .. job)
  return {1, tonumber(redis.call('HGET', repeats, job) or 0)}
end
local function free(job, item, token)
  if redis.call('HGET', busy, item) ~= token .. ' ' .. job then return end
  redis.call('HDEL', busy, item)
  for _ = 1, 16 do
    local caller = redis.call('LPOP', busy .. ':' .. item)
    if not caller then return end
    if redis.call('ZSCORE', queue .. 'delayed', caller) then
      called[#called + 1] = caller
      return
    end
  end
end
for i = 1, #ARGV, 4 do
  local verb, job, item, token = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if verb == 'begin' then
    entries[#entries + 1] = begin(job, item, token)
  else
    if verb == 'end' then redis.call('HDEL', repeats, job) end
    free(job, item, token)
  end
end
return {entries, called}`

type Written = [entries: Array<[free: 0 | 1, repeats: number]>, called: string[]]

/**
 * Says whether a run may begin, and what it stands for: BullMQ keeps repeats of one event of an item apart, but not different
 * events of it. What begins and ends in one turn of the event loop travels together.
 */
export class ItemLedger {
  readonly #write: (lines: string[]) => Promise<Written>
  readonly #call: (jobId: string) => void
  #lines: string[] = []
  #begun = 0
  #entries: Promise<Written> | undefined

  /** `call` brings a job that waits for an item back at once. */
  constructor (client: Redis, { busy, repeats }: AppKeys, queue: string, call: (jobId: string) => void) {
    this.#call = call
    client.defineCommand('b24ledger', { numberOfKeys: 3, lua: LEDGER })
    const script = client as unknown as { b24ledger (...args: string[]): Promise<Written> }
    this.#write = lines => withinDeadline(script.b24ledger(busy, repeats, queue, ...lines))
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async begin ({ jobId, token, item }: Line): Promise<Entry> {
    const index = this.#begun++
    this.#lines.push('begin', jobId, item, token)
    const [free, repeats] = (await this.#travel())[0][index] as Written[0][number]
    return { free: free === 1, repeats }
  }

  /** The run has ended; its job comes again unless it is `over`. Never throws: what is left of it is in nobody's way. */
  end ({ jobId, token, item }: Line, over: boolean): void {
    this.#lines.push(over ? 'end' : 'free', jobId, item, token)
    this.#travel().catch(() => {})
  }

  /** Resolves when what was written until now has arrived, or cannot. */
  async flush (): Promise<void> {
    await this.#entries?.catch(() => {})
  }

  #travel (): Promise<Written> {
    this.#entries ??= this.#send()
    return this.#entries
  }

  async #send (): Promise<Written> {
    await endOfTurn()
    const lines = this.#lines
    this.#lines = []
    this.#begun = 0
    this.#entries = undefined
    const written = await this.#write(lines)
    for (const jobId of written[1]) this.#call(jobId)
    return written
  }
}
