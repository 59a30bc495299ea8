import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { build } from 'esbuild'

const SOURCES = join(import.meta.dirname, 'programs')
const DIST = join(import.meta.dirname, '../dist')

/** Core of what is measured, and of who makes it work. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1

/** A program that answers one message with one message. */
export interface Program {
  /** What it said when it was ready. */
  readonly ready: unknown
  ask (question: object): Promise<unknown>
  stop (): Promise<void>
}

/**
 * The programs of `bench/programs`, compiled, so that plain node runs them as it runs the built package. The folder has to
 * be inside the project: `import 'fastify-bitrix24'` means the nearest package.json.
 */
export class Programs {
  readonly #folder: string
  readonly #running = new Set<Program>()

  private constructor (folder: string) {
    this.#folder = folder
  }

  static async compile (): Promise<Programs> {
    const folder = mkdtempSync(join(DIST, '.bench-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    await build({
      entryPoints: readdirSync(SOURCES).map(file => join(SOURCES, file)),
      outdir: folder,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      target: 'node20',
      // The project's paths lead to its sources; what is measured is dist.
      tsconfigRaw: {}
    })
    return new Programs(folder)
  }

  /** Path of a compiled program: `ours` for `bench/programs/ours.ts`. */
  path (name: string): string {
    return join(this.#folder, `${basename(name)}.mjs`)
  }

  /** Starts a program, on one core if one is given and the machine can; it ends with this process at the latest. */
  async start (name: string, core: number | undefined, settings: object): Promise<Program> {
    const [command, ...prefix] = canPin && core !== undefined ? ['taskset', '-c', String(core), process.execPath] : [process.execPath]
    const child = spawn(command!, [...prefix, this.path(name)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '', BENCH_SETTINGS: JSON.stringify(settings) }
    })
    const ready = await answerOf(child, name)
    const program = {
      ready,
      ask: async (question: object) => {
        child.send(question)
        return await answerOf(child, name)
      },
      stop: async () => {
        this.#running.delete(program)
        child.disconnect()
        await once(child, 'exit')
      }
    }
    this.#running.add(program)
    return program
  }

  async stopAll (): Promise<void> {
    await Promise.all(Array.from(this.#running, program => program.stop()))
  }
}

/** Path of the events at a server. */
export function urlOf (server: Program): string {
  return `${(server.ready as { origin: string }).origin}/bitrix24/events`
}

/** Whether programs are held on a core of their own. */
export const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-c', '0,1', 'true']).status === 0

function answerOf (child: ChildProcess, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (status: number | null): void => reject(new Error(`${name} ended with status ${status}`))
    child.once('exit', ended)
    child.once('message', (answer) => {
      child.off('exit', ended)
      resolve(answer)
    })
  })
}
