import { appKeys, type AppKeys } from '../../storage/redis/keys.ts'
import type { BullParts } from './bull-parts.ts'
import { defineScript } from './bull-scripts.ts'
import { ledgerFunctions, type ItemLedger } from './item-ledger.ts'
import { lateTurnFunction } from './late-turns.ts'
import { PlainOptions, readPlain } from './plain-options.ts'

/** A script of BullMQ that moves jobs. */
interface Move {
  name: string
  /** Which argument is the id of the job that is moved, counted from 1; 0: none is. */
  job: number
  /** The job is over. */
  ends: boolean
  /** Which of its keys are not the same each time, counted from 1; in a Cluster one key at least has to be told. */
  own: readonly number[]
  /** Which argument has the options of the worker, counted from 1; 0: that of a script which is run too seldom to matter. */
  options: number
  /** Lua, run before. */
  before: string
}

// A repeat that came during a run that fails need not wait for as long as the run that failed: both become one that is due at once,
// and this failure is none of it.
const TAKE_IN_REPEAT = `if ARGV[6] == '0' and redis.call('GET', queue .. ARGV[3] .. ':lock') == ARGV[4] and absorb(ARGV[3]) then
  ARGV[5], ARGV[6] = '0', '1'
end`

// BullMQ promotes what is due before it fetches; the end of a job fetches the next one unless the worker closes.
const RETAKE = 'retake(ARGV[2])'
const RETAKE_FOR_NEXT = 'if ARGV[6] == "1" then retake(ARGV[2]) end'

const MOVES: readonly Move[] = [
  { name: 'moveToActive', job: 0, ends: false, own: [1], options: 0, before: RETAKE },
  { name: 'moveToDelayed', job: 3, ends: false, own: [5], options: 0, before: TAKE_IN_REPEAT },
  { name: 'moveToFinished', job: 1, ends: true, own: [11, 12, 13], options: 8, before: RETAKE_FOR_NEXT }
]

/** What the script of BullMQ answered; what the ledger says of the job that was fetched; who waits for the item of the one that ended. */
type Moved = [answer: unknown, free: 0 | 1, repeats: number, caller: string | null]

// Behind the arguments of BullMQ stand token and item of the run that ends; the job that is fetched then gets the same token.
// The next job is fetched before the item is free, and asks for it after.
// The keys that are always the same stand in the script: to write and read fourteen of them costs more than all of the ledger.
const moveAndNote = (script: string, { job, ends, own, options, before }: Move, names: unknown[], keys: AppKeys, queue: string): string => `
local KEYS = { ${names.map((name, i) => own.includes(i + 1) ? `KEYS[${own.indexOf(i + 1) + 1}]` : `'${name}'`).join(', ')} }
local queue, token, item = '${queue}', ARGV[#ARGV - 1], ARGV[#ARGV]
${options > 0 ? readPlain(options) : ''}
${ledgerFunctions(keys)}
${lateTurnFunction(keys)}
local function move()
${script}
end
${before}
local answer = move()
local isFetched, caller, isFree, repeated = type(answer) == 'table', false, 1, 0
if item ~= '' and (isFetched or answer >= 0) then
  if token == '' then caller = await(ARGV[${job}], item) else caller = free(item${ends ? `, ARGV[${job}]` : ''}) end
end
if isFetched and type(answer[2]) == 'string' then isFree, repeated = begin(answer[2], answer[1], token) end
return { answer, isFree, repeated, caller }`

/**
 * Has the scripts of BullMQ that fetch, put off and end jobs keep the ledger of items too. Written apart, each job would take two
 * more round trips.
 */
export function routeMoves ({ bull, client, scripts, app }: BullParts, queue: string, ledger: ItemLedger): void {
  const keys = appKeys(app)
  const plain = new PlainOptions(bull.unpack)
  for (const move of MOVES) {
    const { lua, numberOfKeys = 0 } = scripts.get(move.name)
    let run: ((args: unknown[]) => Promise<Moved>) | undefined
    scripts.routes.set(move.name, async (args) => {
      run ??= defineScript(client, `b24:${move.name}`, { lua: moveAndNote(lua, move, args.slice(0, numberOfKeys), keys, queue), numberOfKeys: move.own.length })
      const jobId = move.job === 0 ? '' : String(args[numberOfKeys + move.job - 1])
      const holder = ledger.holderOf(jobId)
      const own = move.own.map(at => args[at - 1])
      const rest = args.slice(numberOfKeys)
      if (move.options > 0) rest[move.options - 1] = plain.of(rest[move.options - 1] as Buffer)
      const [answer, free, repeats, caller] = await run([...own, ...rest, holder?.token ?? '', holder?.item ?? ''])
      ledger.ended(jobId, holder, caller)
      if (Array.isArray(answer) && typeof answer[1] === 'string') ledger.note(answer[1], { free: free === 1, repeats })
      return answer
    })
  }
}
