import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import type { SimulatedPortal } from '../../src/testing/index.ts'
import { startProgram } from './program.ts'
import { until } from './until.ts'

/**
 * A process of an app that does so many things for a portal as it is ordered. It finds its settings in `APP_SETTINGS`, says a word when
 * it is ready, takes an order a line, and prints `{ memberId, report }` for each, and `{ reported }` for what is reported meanwhile. It ends
 * with the test.
 */
export class OrderedProcess<Report> {
  readonly reported: unknown[] = []
  /** The word that it says. */
  readonly ready: Promise<string>
  readonly ended: Promise<unknown>
  readonly #child
  readonly #reports: Array<{ memberId: string, report: Report }> = []

  constructor (t: Test, program: string, settings: object) {
    this.#child = startProgram(program, [], { env: { APP_SETTINGS: JSON.stringify(settings) } })
    this.ended = once(this.#child, 'close')
    let complaints = ''
    this.#child.stderr.on('data', chunk => { complaints += chunk })
    const lines = createInterface(this.#child.stdout)
    this.ready = once(lines, 'line').then(([line]) => JSON.parse(line))
    lines.on('line', line => {
      if (!line.startsWith('{')) return
      const { memberId, report, reported } = JSON.parse(line)
      if (report !== undefined) this.#reports.push({ memberId, report })
      if (reported !== undefined) this.reported.push(reported)
    })
    t.teardown(async () => {
      await this.signal('SIGKILL')
      if (!t.passing()) t.comment(complaints)
    })
  }

  order ({ memberId }: SimulatedPortal, count: number): void {
    this.#child.stdin.write(`${JSON.stringify({ memberId, count })}\n`)
  }

  /** What came of the oldest order for the portal. */
  async report ({ memberId }: SimulatedPortal): Promise<Report> {
    const find = () => this.#reports.findIndex(each => each.memberId === memberId)
    await until(() => find() >= 0, 'it reports', 30_000)
    return this.#reports.splice(find(), 1)[0]!.report
  }

  async ask (portal: SimulatedPortal, count: number): Promise<Report> {
    this.order(portal, count)
    return await this.report(portal)
  }

  async signal (name: NodeJS.Signals): Promise<void> {
    this.#child.kill(name)
    if (name === 'SIGKILL') await this.ended
  }
}
