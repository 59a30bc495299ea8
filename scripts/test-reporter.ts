import { relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { TestEvent } from 'node:test/reporters'

type Outcome = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data']

interface FileRun { passed: number, failed: number, began: number, ended: number }

/** What the runner itself sums up at the end. */
const RUNNER_TOTALS = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/

/** Prints each failure where it happens, then the slowest files, and how many assertions passed. */
export default async function * report (events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files = new Map<string, FileRun>()
  let skipped = 0
  for await (const { type, data } of events) {
    if (type === 'test:diagnostic' && !RUNNER_TOTALS.test(data.message)) yield `# ${data.message}\n`
    if (type === 'test:stderr') yield data.message
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const run = runOf(files, data)
    const isGroup = data.details.type === 'suite'
    // Without a reason it is a test that asserts nothing, and only had to end.
    if (data.skip === true) run.passed++
    else if (data.skip !== undefined || data.todo !== undefined) {
      skipped++
      yield `skipped - ${data.name}\n`
    } else if (type === 'test:fail') {
      // A group that failed because of its assertions is no failure more.
      if (isGroup && /\d+ subtests? failed/.test(failureOf(data))) continue
      run.failed++
      yield `not ok - ${data.name}\n  in ${nameOf(data.file)}\n${failureOf(data).replaceAll(/^/gm, '  ')}\n`
    } else if (!isGroup) run.passed++
  }
  yield * summary([...files], skipped)
}

function runOf (files: Map<string, FileRun>, { file = '', details }: Outcome): FileRun {
  const now = performance.now()
  const run = files.get(file) ?? { passed: 0, failed: 0, began: now - details.duration_ms, ended: now }
  run.ended = now
  files.set(file, run)
  return run
}

function failureOf ({ details }: Outcome): string {
  const error = 'error' in details ? details.error as Error & { cause?: unknown } : undefined
  const cause = error?.cause ?? error
  return stripVTControlCharacters(cause instanceof Error ? cause.stack ?? cause.message : String(cause))
}

function nameOf (file = ''): string {
  return relative('', file).replace(/^\.tests\/[^/]+\//, '').replace(/\.mjs$/, '.ts')
}

function * summary (files: Array<[string, FileRun]>, skipped: number): Generator<string> {
  const seconds = ({ began, ended }: FileRun): number => (ended - began) / 1000
  const slowest = files.toSorted(([, a], [, b]) => seconds(b) - seconds(a)).slice(0, 10)
  for (const [file, run] of slowest) yield `# ${seconds(run).toFixed(1)} s ${nameOf(file)}\n`
  const sum = (key: 'passed' | 'failed'): number => files.reduce((total, [, run]) => total + run[key], 0)
  yield `${sum('passed')} passed, ${sum('failed')} failed${skipped === 0 ? '' : `, ${skipped} skipped`}\n`
}
