import { setTimeout as pause } from 'node:timers/promises'
import { App, type Adapter, type Delivery } from './app.ts'
import { ITEM_ID, itemUpdate, type Sender } from './common/body.ts'
import { LOAD_CORE, SERVER_CORE, urlOf, type Program, type Programs } from './programs.ts'
import type { LoadOrder, LoadResult } from './programs/load.ts'
import type { OursQuestion, OursReport, OursSettings } from './programs/ours.ts'

const DEADLINE_MS = 60_000
const PAUSE_MS = 50

/** What posts go out; by default, each is of another item, and of the next portal. */
export interface Posts {
  amount: number
  senders?: Sender[]
  sameItem?: boolean
  connections?: number
}

/** An app of its own: programs that receive and handle its events, and one that posts. */
export class Stage {
  readonly senders: Sender[]
  readonly #app: App
  readonly #programs: Programs
  readonly #load: Program
  readonly #running = new Set<Program>()
  #nextId = 1

  private constructor (programs: Programs, load: Program, { app, senders }: { app: App, senders: Sender[] }) {
    this.#programs = programs
    this.#load = load
    this.#app = app
    this.senders = senders
  }

  /** @param portals how many send */
  static async open (programs: Programs, adapter: Adapter, redisUrl: string, portals?: number): Promise<Stage> {
    return new Stage(programs, await programs.start('load', LOAD_CORE, {}), App.of(adapter, redisUrl, portals))
  }

  /** Starts a program with the plugin. */
  async start (delivery: Delivery, settings: Omit<OursSettings, 'plugin'> = {}): Promise<Program> {
    const program = await this.#programs.start('ours', SERVER_CORE, { ...settings, plugin: this.#app.plugin(delivery) } satisfies OursSettings)
    this.#running.add(program)
    return program
  }

  /** Ends a program as a deploy does: what it handles is given back. */
  async stop (program: Program): Promise<void> {
    await report(program, { close: true })
    this.#running.delete(program)
    await program.stop()
  }

  /** Posts as fast as the answers come. */
  async post (to: Program, { amount, senders = this.senders, sameItem = false, connections = 50 }: Posts): Promise<void> {
    const bodies = senders.map(sender => itemUpdate(sender, sameItem ? '24' : ITEM_ID))
    const order = { url: urlOf(to), bodies, connections, seconds: DEADLINE_MS / 1000, amount, fromId: this.#nextId }
    const { requests, failures } = await this.#load.ask(order satisfies LoadOrder) as LoadResult
    if (requests - failures !== amount) throw new Error(`Of ${amount} posts, ${requests} were answered, and ${failures} failed`)
    this.#nextId += amount
  }

  async close (): Promise<void> {
    for (const program of this.#running) await this.stop(program)
    await this.#load.stop()
    this.#app.remove()
  }
}

export async function report (program: Program, question: OursQuestion = {}): Promise<OursReport> {
  return await program.ask(question) as OursReport
}

/** Waits until a program did what is asked for. */
export async function until<T> (ask: () => Promise<T>, isDone: (answer: T) => boolean, deadlineMs = DEADLINE_MS): Promise<T> {
  const end = performance.now() + deadlineMs
  while (performance.now() < end) {
    const answer = await ask()
    if (isDone(answer)) return answer
    await pause(PAUSE_MS)
  }
  throw new Error(`Not within ${deadlineMs} ms: ${JSON.stringify(await ask())}`)
}
