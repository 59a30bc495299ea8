import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'

/** Arguments of node that run a TypeScript program of the project from any folder. */
export function programArguments (file: string): string[] {
  return ['--import', join(process.cwd(), 'node_modules/tsx/dist/loader.mjs'), join(process.cwd(), file)]
}

/** The environment without what tap adds for its own children: a program of ours runs as its users run it. */
export function cleanEnvironment (): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && name !== 'NODE_V8_COVERAGE' && !/^_?TAP/.test(name))
  return { ...Object.fromEntries(kept), TSX_TSCONFIG_PATH: join(process.cwd(), 'tsconfig.json') }
}

/** Resolves with all that was printed as soon as it matches; rejects when the program ends before. */
export function untilPrinted (child: ChildProcess, pattern: RegExp, timeoutMs = 15_000): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const fail = (why: string) => reject(new Error(`${why}, having printed: ${text}`))
    const timer = setTimeout(() => fail(`no ${pattern} within ${timeoutMs} ms`), timeoutMs)
    child.once('exit', (code, signal) => fail(`ended with ${code ?? signal}`))
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
