import { existsSync, readFileSync } from 'node:fs'
import type { JournalLine } from '../faults/programs/app.ts'

/** One run of a handler. */
export interface HandlerRun extends Omit<JournalLine, 'what' | 'at'> {
  beganAt: number
  /** `undefined` while it runs, and for ever when its process was killed. */
  endedAt?: number
  how?: 'end' | 'failed'
}

/** ms on the clock of the journal. */
export function now (): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** Reads what the handlers of all processes wrote. */
export function readJournal (file: string): HandlerRun[] {
  const runs = new Map<string, HandlerRun>()
  // What stands after the last line break is being written.
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
  for (const line of lines) {
    const { what, at, ...run } = JSON.parse(line) as JournalLine
    const key = `${run.pid} ${run.run}`
    if (what === 'begin') runs.set(key, { ...run, beganAt: at })
    else Object.assign(runs.get(key) as HandlerRun, { endedAt: at, how: what })
  }
  return [...runs.values()]
}

/** Pairs of runs of one item that went on at the same time. `deaths`: when each killed process ended, by pid. */
export function overlapsOf (runs: readonly HandlerRun[], deaths: ReadonlyMap<number, number>): Array<[HandlerRun, HandlerRun]> {
  const overlaps: Array<[HandlerRun, HandlerRun]> = []
  const latest = new Map<string, HandlerRun>()
  const endOf = ({ endedAt, pid }: HandlerRun): number => endedAt ?? deaths.get(pid) ?? Infinity
  for (const run of runs.toSorted((a, b) => a.beganAt - b.beganAt)) {
    const before = latest.get(run.item)
    if (before !== undefined && run.beganAt < endOf(before)) overlaps.push([before, run])
    if (before === undefined || endOf(run) > endOf(before)) latest.set(run.item, run)
  }
  return overlaps
}

/** How often an item went from one process to another while the first one lived, as far as its later runs show. */
export function handoversOf (runs: readonly HandlerRun[]): number {
  const sorted = runs.toSorted((a, b) => a.beganAt - b.beganAt)
  const lastSign = new Map(sorted.map(({ pid, beganAt }) => [pid, beganAt]))
  const latest = new Map<string, HandlerRun>()
  let count = 0
  for (const run of sorted) {
    const before = latest.get(run.item)
    if (before !== undefined && before.pid !== run.pid && lastSign.get(before.pid) as number > run.beganAt) count++
    latest.set(run.item, run)
  }
  return count
}
