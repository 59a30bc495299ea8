import { execFile, spawn, spawnSync, type ChildProcess, type ChildProcessWithoutNullStreams, type SpawnSyncReturns } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { keepOutput } from './kept-logs.ts'

export interface ProgramOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  /** @default 60000 */
  timeoutMs?: number
}

/** Runs a command as its users run it, to its end. */
export function runCommand (command: string, args: readonly string[], options: ProgramOptions = {}): SpawnSyncReturns<string> {
  const { cwd, timeoutMs = 60_000 } = options
  return spawnSync(command, args, { ...(cwd !== undefined && { cwd }), env: environment(options), encoding: 'utf8', timeout: timeoutMs })
}

/** How a program ended, and what it printed. */
export interface Ended {
  /** Exit code, or `undefined` after a signal. */
  status: number | undefined
  stdout: string
  stderr: string
}

/** Runs a program of the project, in any folder, to its end. */
export async function runProgram (file: string, options: ProgramOptions = {}): Promise<Ended> {
  const { cwd, timeoutMs = 60_000 } = options
  const settings = { ...(cwd !== undefined && { cwd }), env: environment(options), timeout: timeoutMs }
  return await new Promise(resolve => {
    const child = execFile(process.execPath, programArguments(file), settings, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : error.code as number | undefined, stdout, stderr })
    })
    keepOutput(child.stdout!, child.stderr!)
  })
}

/** Starts a program of the project, in any folder: TypeScript, or what was compiled of it. What it prints is searched for secrets after the suite. */
export function startProgram (file: string, args: readonly string[], options: ProgramOptions = {}): ChildProcessWithoutNullStreams {
  const { cwd } = options
  const child = spawn(process.execPath, [...programArguments(file), ...args], { ...(cwd !== undefined && { cwd }), env: environment(options) })
  keepOutput(child.stdout, child.stderr)
  return child
}

function programArguments (file: string): string[] {
  // The suite compiles its programs before it begins; the loader of TypeScript costs a second a start.
  const compiled = resolve(process.env['B24_TEST_COMPILED'] ?? '', relative('', file).replace(/\.ts$/, '.mjs'))
  const program = existsSync(compiled) ? compiled : resolve(file)
  return program.endsWith('.ts') ? ['--import', join(process.cwd(), 'node_modules/tsx/dist/loader.mjs'), program] : [program]
}

function environment ({ env }: ProgramOptions): NodeJS.ProcessEnv {
  return { ...process.env, TSX_TSCONFIG_PATH: join(process.cwd(), 'tsconfig.json'), ...env }
}

/** Resolves with all that was printed as soon as it matches; rejects when the program ends before. */
export function untilPrinted (child: ChildProcess, pattern: RegExp, timeoutMs = 15_000): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const fail = (why: string) => reject(new Error(`${why}, having printed: ${text}`))
    const timer = setTimeout(() => fail(`no ${pattern} within ${timeoutMs} ms`), timeoutMs)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      fail(`ended with ${code ?? signal}`)
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        if (!pattern.test(text)) return
        clearTimeout(timer)
        resolve(text)
      })
    }
  })
}
