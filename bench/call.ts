import { canPin, LOAD_CORE, SERVER_CORE, type Program, type Programs } from './programs.ts'
import type { Caller, CallOrder, CallResult } from './programs/caller.ts'
import { atMost, median, type Row, type Section } from './table.ts'

const ROUNDS = 21
const WARM_UP_ROUNDS = 3
const CALLS = 300
const AT_ONCE = 16
const MOST_MICROS = 300

const NAMES: Record<Caller, string> = {
  bare: 'bare SDK, its token in memory, its limits lifted',
  Redis: 'portal.call on Redis',
  SQLite: 'portal.call, SQLite'
}
const ALL = Object.keys(NAMES) as Caller[]

interface Round {
  /** Median time of a call, µs. */
  alone: number
  /** Time for each of many calls at once, µs. */
  busy: number
  redisCommands: number
}

/** What a call costs more than the same call of the bare SDK: to read the token, to reserve a place, and to judge the answer. */
export async function measureCall (programs: Programs, redisUrl: string): Promise<Section> {
  const portal = await programs.start('portal', LOAD_CORE, {})
  const { origin } = portal.ready as { origin: string }
  const caller = await programs.start('caller', SERVER_CORE, { redisUrl, portal: origin })
  const rounds = await run(caller)
  await caller.stop()
  await portal.stop()
  const added = (name: Caller, how: 'alone' | 'busy') => median(rounds[name].map((round, at) => round[how] - rounds.bare[at]![how]))
  const commands = median(rounds.Redis.map(({ redisCommands }) => redisCommands))
  return {
    title: `Calling a method of a portal on loopback, ${ROUNDS} rounds of ${CALLS} calls in turn, medians, ${canPin ? 'caller on one core, portal on another' : 'on any core'}`,
    rows: ALL.map((name): Row => ({
      name: NAMES[name],
      figure: `${median(rounds[name].map(({ alone }) => alone)).toFixed(0)} µs`,
      more: `${median(rounds[name].map(({ busy }) => busy)).toFixed(0)} µs each with ${AT_ONCE} at once${name === 'bare' ? '' : `, adds ${added(name, 'alone').toFixed(0)} and ${added(name, 'busy').toFixed(0)} µs`}`
    })),
    notes: [
      'What is added is the difference of neighbouring rounds. All callers are in one process; Redis is on any core.',
      'On Redis, one MGET reads the token and one script reserves a place in the bucket that all processes share. Both travel while the SDK',
      'prepares the call; what it made is then sent by undici, which takes less time than the axios of the SDK.'
    ],
    targets: [
      atMost('portal.call on Redis, against the bare SDK', MOST_MICROS, added('Redis', 'alone'), 'µs more'),
      atMost('portal.call, SQLite, against the bare SDK', MOST_MICROS, added('SQLite', 'alone'), 'µs more'),
      { name: 'portal.call, Redis commands with a fresh token', wanted: 'at most 2', got: commands.toFixed(2), met: commands <= 2 }
    ]
  }
}

async function run (caller: Program): Promise<Record<Caller, Round[]>> {
  const rounds: Record<Caller, Round[]> = { bare: [], Redis: [], SQLite: [] }
  for (let count = -WARM_UP_ROUNDS; count < ROUNDS; count++) {
    for (const name of ALL) {
      const alone = await caller.ask({ caller: name, calls: CALLS, atOnce: 1 } satisfies CallOrder) as CallResult
      const busy = await caller.ask({ caller: name, calls: CALLS, atOnce: AT_ONCE } satisfies CallOrder) as CallResult
      const round = { alone: median(alone.times) * 1000, busy: busy.wholeMs / busy.times.length * 1000, redisCommands: alone.redisCommands / alone.times.length }
      if (count >= 0) rounds[name].push(round)
    }
  }
  return rounds
}
