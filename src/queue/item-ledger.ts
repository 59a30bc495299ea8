import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { AppKeys } from '../redis/keys.ts'
import { withinDeadline } from '../redis/deadline.ts'

/** What the ledger says when a run begins. */
export interface Entry {
  /** `false` while another run holds the item. */
  free: boolean
  /** How often this event was queued until now; `null` when this run is not the one that repeats become part of. */
  seen: string | null
  /** How many of these an earlier run stood for. */
  settled: string | null
}

/** A run as the ledger knows it. */
export interface Line {
  jobId: string
  /** Key of the item that it needs for itself. */
  item: string
  /** BullMQ's deduplication id, or `''` for what is not coalesced. */
  repeated: string
}

// KEYS: busy, repeats, prefix of the queue's keys. ARGV: five for each line (begin or end, job, item, repeated, seen).
// An item is held as long as BullMQ's own lock of the job that took it: who dies lets go when that lapses.
// In `repeats`, `+<id>` counts what was queued, and `-<id>` what earlier runs stood for.
const LEDGER = `
local busy, repeats, queue = KEYS[1], KEYS[2], KEYS[3]
local entries = {}
local function begin(job, item, repeated)
  local holder = redis.call('HGET', busy, item)
  if holder and holder ~= job and redis.call('EXISTS', queue .. holder .. ':lock') == 1 then return {0, false, false} end
  redis.call('HSET', busy, item, job)
  if repeated == '' or redis.call('GET', queue .. 'de:' .. repeated) ~= job then return {1, false, false} end
  local counts = redis.call('HMGET', repeats, '+' .. repeated, '-' .. repeated)
  return {1, counts[1], counts[2]}
end
local function finish(job, item, repeated, seen)
  if redis.call('HGET', busy, item) == job then redis.call('HDEL', busy, item) end
  if seen == '' then return end
  if redis.call('HGET', repeats, '+' .. repeated) == seen then
    redis.call('HDEL', repeats, '+' .. repeated, '-' .. repeated)
  else
    redis.call('HSET', repeats, '-' .. repeated, seen)
  end
end
for i = 1, #ARGV, 5 do
  if ARGV[i] == 'begin' then
    entries[#entries + 1] = begin(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  else
    finish(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  end
end
return entries`

type Written = Array<[free: 0 | 1, seen: string | null, settled: string | null]>

/**
 * Says whether a run may begin, and how many deliveries it stands for: BullMQ keeps repeats of one event of an item apart,
 * but not different events of it, and does not count what it drops. What begins and ends in one turn of the event loop
 * travels together.
 */
export class ItemLedger {
  readonly #write: (lines: string[]) => Promise<Written>
  #lines: string[] = []
  #begun = 0
  #entries: Promise<Written> | undefined

  constructor (client: Redis, { busy, repeats }: AppKeys, queue: string) {
    client.defineCommand('b24ledger', { numberOfKeys: 3, lua: LEDGER })
    const script = client as unknown as { b24ledger (...args: string[]): Promise<Written> }
    this.#write = lines => withinDeadline(script.b24ledger(busy, repeats, queue, ...lines))
  }

  /** @throws FST_B24_STORE_UNAVAILABLE */
  async begin ({ jobId, item, repeated }: Line): Promise<Entry> {
    const index = this.#begun++
    this.#lines.push('begin', jobId, item, repeated, '')
    const [free, seen, settled] = (await this.#travel())[index] as Written[number]
    return { free: free === 1, seen, settled }
  }

  /** To be called when the run has ended for good. Rejects never: what is left is tidied by the next run of the item. */
  end ({ jobId, item, repeated }: Line, { seen }: Entry): void {
    this.#lines.push('end', jobId, item, repeated, seen ?? '')
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
    return await this.#write(lines)
  }
}
