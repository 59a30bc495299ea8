import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import type { QueueSettings } from '../../../src/queue/queue.ts'
import { startProgram } from '../../helpers/program.ts'

/** A second process on the folder. */
export class EmbeddedChild {
  readonly lines: unknown[] = []
  readonly ended: Promise<unknown>
  readonly #child

  constructor (t: Test, task: string, dataDir: string, over: Partial<QueueSettings> = {}) {
    this.#child = startProgram('test/queue/embedded/embedded-queue-process.ts', [task, dataDir, 'app', JSON.stringify(over)])
    this.ended = once(this.#child, 'close')
    createInterface(this.#child.stdout).on('line', line => this.lines.push(JSON.parse(line)))
    let complaints = ''
    this.#child.stderr.on('data', chunk => { complaints += chunk })
    t.teardown(async () => {
      this.#child.kill('SIGKILL')
      await this.ended
      if (!t.passing()) t.comment(complaints)
    })
  }

  /** What it said of one kind. */
  said (kind: string): unknown[] {
    return this.lines.flatMap(line => (line as Record<string, unknown>)[kind] ?? [])
  }

  signal (signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill (): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }
}
