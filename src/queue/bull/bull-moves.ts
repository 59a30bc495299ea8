import type { Redis } from 'ioredis'
import type { AppKeys } from '../../redis/keys.ts'
import { TurnBatch } from '../../redis/turn-batch.ts'
import type { BullScripts } from './bull-scripts.ts'
import { ledgerFunctions, type Holder, type ItemLedger } from './item-ledger.ts'
import { lateTurnFunction } from './late-turns.ts'

/** Most jobs that are moved with one command. */
const MOST_MOVES = 8

/** How BullMQ calls a script that moves jobs. */
interface Shape {
  name: string
  keys: number
  args: number
  /** Which argument is the id of the job that is moved, counted from 1; 0: none is. */
  job: number
  /** The job is over. */
  ends: boolean
  /** Keys that differ from call to call, counted from 1. */
  own: number[]
  /** Lua, run before. */
  before?: string
}

// A repeat that came during a run that fails need not wait for as long as the run that failed: both become one that is due at once,
// and this failure is none of it.
const TAKE_IN_REPEAT = `
  if args[6] == '0' and redis.call('GET', queue .. args[3] .. ':lock') == args[4] and absorb(args[3]) then
    args[5], args[6] = '0', '1'
  end`

// BullMQ promotes what is due before it fetches; the end of a job fetches the next one unless the worker closes.
const RETAKE = `
  retake(args[2])`
const RETAKE_FOR_NEXT = `
  if args[6] == '1' then retake(args[2]) end`

const SHAPES: readonly Shape[] = [
  { name: 'moveToActive', keys: 11, args: 3, job: 0, ends: false, own: [], before: RETAKE },
  { name: 'moveToDelayed', keys: 11, args: 9, job: 3, ends: false, own: [5], before: TAKE_IN_REPEAT },
  { name: 'moveToFinished', keys: 14, args: 9, job: 1, ends: true, own: [11, 12, 13], before: RETAKE_FOR_NEXT }
]

/** A call of BullMQ, and what is held for the job that it ends. */
interface Call {
  args: unknown[]
  holder: Holder | undefined
}

/** What the script of BullMQ answered; what the ledger says of the job that was fetched; who waits for the item of the one that ended. */
type Moved = [answer: unknown, free: 0 | 1, repeats: number, caller: string | null]

// ARGV: prefix of the queue's keys; then for each call token and item of the run that ends, its own keys, and its arguments.
// The next job is fetched before the item is free, and asks for it after.
const moveMany = (script: string, { args, job, ends, own, before = '' }: Shape, keys: AppKeys): string => `
local queue = ARGV[1]
${ledgerFunctions(keys)}
${lateTurnFunction(keys)}
local function move(KEYS, ARGV)
${script}
end
local answers = {}
for i = 2, #ARGV, ${2 + own.length + args} do
  local token, item, keys, args = ARGV[i], ARGV[i + 1], { unpack(KEYS) }, {}
  ${own.map((key, index) => `keys[${key}] = ARGV[i + ${2 + index}]`).join('\n  ')}
  for k = 1, ${args} do args[k] = ARGV[i + ${1 + own.length} + k] end
  ${before}
  local answer = move(keys, args)
  local isFetched, caller, isFree, repeated = type(answer) == 'table', false, 1, 0
  if item ~= '' and (isFetched or answer >= 0) then
    ${ends ? `redis.call('HDEL', repeats, args[${job}])` : ''}
    caller = free(args[${job}], token, item)
  end
  if isFetched and type(answer[2]) == 'string' then isFree, repeated = begin(answer[2], answer[1]) end
  answers[#answers + 1] = { answer, isFree, repeated, caller }
end
return answers`

/**
 * Has the scripts of BullMQ that fetch, put off and end jobs keep the ledger of items too, several in one command. Written apart, each
 * job would take two more round trips.
 */
export function routeMoves (client: Redis, scripts: BullScripts, keys: AppKeys, queue: string, ledger: ItemLedger): void {
  for (const shape of SHAPES) {
    const batch = batchOf(client, shape, moveMany(scripts.get(shape.name).lua, shape, keys), queue)
    scripts.routes.set(shape.name, async (args) => {
      const jobId = shape.job === 0 ? '' : String(args[shape.keys + shape.job - 1])
      const holder = ledger.holderOf(jobId)
      const [answer, free, repeats, caller] = await batch.ask({ args, holder })
      ledger.ended(jobId, holder, caller)
      if (Array.isArray(answer) && typeof answer[1] === 'string') ledger.note(answer[1], { free: free === 1, repeats })
      return answer
    })
  }
}

function batchOf (client: Redis, { name, keys, own }: Shape, lua: string, queue: string): TurnBatch<Call, Moved> {
  const command = `b24:${name}`
  client.defineCommand(command, { lua, numberOfKeys: keys })
  const run = (client as unknown as Record<string, (args: unknown[]) => Promise<Moved[]>>)[command]!.bind(client)
  return new TurnBatch(async (calls) => {
    const args = [...calls[0]!.args.slice(0, keys), queue]
    for (const { args: passed, holder } of calls) {
      args.push(holder?.token ?? '', holder?.item ?? '', ...own.map(key => passed[key - 1]), ...passed.slice(keys))
    }
    return await run(args)
  }, MOST_MOVES)
}
