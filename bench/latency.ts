import { ADAPTERS, type Adapter } from './app.ts'
import { ITEM_ID, itemUpdate } from './common/body.ts'
import { LOAD_CORE, urlOf, type Program, type Programs } from './programs.ts'
import type { PacedOrder, PacedResult } from './programs/paced.ts'
import { Stage } from './stage.ts'
import { median, type Row, type Section, type Target } from './table.ts'

const ROUNDS = 5
const ROUND_SECONDS = 3
const PER_SECOND = 200
const SLOW_MS = 1_000
const MOST = 1.5

interface Pair {
  adapter: Adapter
  empty: PacedResult[]
  slow: PacedResult[]
}

/** Time of the answer, with handlers that take a second against handlers that do nothing. */
export async function measureLatency (programs: Programs, redisUrl: string): Promise<Section> {
  const paced = await programs.start('paced', LOAD_CORE, {})
  const pairs: Pair[] = []
  for (const adapter of ADAPTERS) pairs.push(await comparePair(programs, paced, adapter, redisUrl))
  await paced.stop()
  return {
    title: `Answering while handlers work, ${PER_SECOND} events a second, each of another item, ${ROUNDS} rounds of ${ROUND_SECONDS} s in turn, medians`,
    rows: pairs.flatMap(rowsOf),
    notes: [
      'Ratio: p99 with slow handlers against empty ones, round by round. One process receives and handles, 16 events at once:',
      'of slow handlers, nearly all events wait, more of them from round to round.'
    ],
    targets: pairs.map(targetOf)
  }
}

async function comparePair (programs: Programs, paced: Program, adapter: Adapter, redisUrl: string): Promise<Pair> {
  const pair: Pair = { adapter, empty: [], slow: [] }
  const stages = { empty: await Stage.open(programs, adapter, redisUrl), slow: await Stage.open(programs, adapter, redisUrl) }
  const settings = { empty: {}, slow: { handlerMs: SLOW_MS } }
  const servers = { empty: await stages.empty.start({}, settings.empty), slow: await stages.slow.start({ closeTimeoutMs: 0 }, settings.slow) }
  for (let round = -1; round < ROUNDS; round++) {
    for (const kind of ['empty', 'slow'] as const) {
      const order = { url: urlOf(servers[kind]), bodies: stages[kind].senders.map(sender => itemUpdate(sender, ITEM_ID)) }
      const result = await paced.ask({ ...order, perSecond: PER_SECOND, seconds: ROUND_SECONDS, fromId: (round + 2) * 1_000_000 } satisfies PacedOrder) as PacedResult
      if (result.failures > 0) throw new Error(`${result.failures} of the posts failed`)
      if (round >= 0) pair[kind].push(result)
    }
  }
  await stages.empty.close()
  await stages.slow.close()
  return pair
}

function ratioOf ({ empty, slow }: Pair): number {
  return median(slow.map(({ p99Ms }, round) => p99Ms / empty[round]!.p99Ms))
}

function rowsOf (pair: Pair): Row[] {
  const rowOf = (results: PacedResult[]) => ({
    figure: `p99 ${median(results.map(({ p99Ms }) => p99Ms)).toFixed(1)} ms`,
    more: `median ${median(results.map(({ p50Ms }) => p50Ms)).toFixed(1)} ms`
  })
  return [
    { name: `${pair.adapter}, empty handlers`, ...rowOf(pair.empty) },
    { name: `${pair.adapter}, handlers that take a second`, ...rowOf(pair.slow), ratio: ratioOf(pair) }
  ]
}

function targetOf (pair: Pair): Target {
  const ratio = ratioOf(pair)
  return { name: `p99 of the answer with slow handlers, ${pair.adapter}`, wanted: `at most ${MOST} x`, got: `${ratio.toFixed(2)} x`, met: ratio <= MOST }
}
