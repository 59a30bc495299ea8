import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { DeadLetterList, Health } from '../../src/index.ts'
import type { AppSettings } from '../faults/programs/app.ts'
import { compilePrograms } from './bundle.ts'
import { now } from './journal.ts'
import { keepOutput } from './kept-logs.ts'
import { untilPrinted } from './program.ts'

/** A running `test/faults/programs/app.ts`. */
export interface AppProgram {
  readonly pid: number
  readonly origin: string
  /** Where it takes events. */
  readonly eventsUrl: string
  /** When it was started, ms on the clock of the journal. */
  readonly startedAt: number
  /** What it logged. */
  readonly log: () => string
  /** How it ended: its exit code, or the signal. */
  readonly ended: Promise<number | NodeJS.Signals>
  health (): Promise<Health>
  deadLetters (): Promise<DeadLetterList>
  signal (name: NodeJS.Signals): void
  /** `kill -9`; resolves with the time of it. */
  kill (): Promise<number>
}

/** Compiles the programs of the fault tests into a folder of the test. */
export async function buildPrograms (t: Test): Promise<string> {
  return await compilePrograms(t, ['app', 'clock-back'].map(name => join('test/faults/programs', `${name}.ts`)))
}

/** Starts the app of a folder and waits until it listens; it ends with the test at the latest. */
export async function startApp (t: Test, folder: string, settings: AppSettings, { nodeArguments = [], uid }: { nodeArguments?: string[] | undefined, uid?: number | undefined } = {}): Promise<AppProgram> {
  const startedAt = now()
  const child = spawn(process.execPath, [...nodeArguments, join(folder, 'app.mjs')], {
    cwd: folder, env: { ...process.env, FAULT_APP: JSON.stringify(settings) }, ...(uid !== undefined && { uid })
  })
  const ended = once(child, 'exit').then(([code, signal]) => code ?? signal)
  t.teardown(async () => await end(child, ended))
  const log = keepText(child)
  const origin = /http:\S+/.exec(await untilPrinted(child, /http:\S+\n/, 30_000))![0]
  const ask = async (path: string) => await (await fetch(`${origin}${path}`, { signal: AbortSignal.timeout(5_000) })).json()
  return {
    pid: child.pid as number,
    origin,
    eventsUrl: `${origin}/bitrix24/events`,
    startedAt,
    log,
    ended,
    health: async () => await ask('/health') as Health,
    deadLetters: async () => await ask('/dead-letters') as DeadLetterList,
    signal: name => { child.kill(name) },
    kill: async () => {
      // Taken before: what begins elsewhere as soon as it is dead does not run beside it.
      const at = now()
      await end(child, ended)
      return at
    }
  }
}

async function end (child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill('SIGKILL')
  await ended
}

/** Keeps what a program logs, also to be searched for secrets after the suite. */
function keepText (child: ChildProcessWithoutNullStreams): () => string {
  let text = ''
  keepOutput(child.stdout, child.stderr)
  child.stderr.on('data', (chunk: Buffer) => {
    text = `${text}${chunk.toString()}`.slice(-100_000)
  })
  return () => text
}
