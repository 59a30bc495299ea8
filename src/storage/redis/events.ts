import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import type { AddResult, BegunEvent, DeadRow, EventCounts, EventStore, EventStoreSettings, GroupState, NewEvent, StoredOutcome, Turn, TurnResult } from '../event-store.ts'
import { bareError, isConnectionError, withinDeadline } from '../unavailable.ts'
import { ADD, COUNTS, DISCARD, GET_DEAD, LISTEN, LIST_DEAD, OLDEST, REPLAY, SAVE } from './scripts.ts'
import { TURN } from './worker-turn-script.ts'

/** Scripts of events by their names. */
export const EVENT_SCRIPTS = { ADD, TURN, LISTEN, SAVE, REPLAY, DISCARD, LIST_DEAD, GET_DEAD, COUNTS, OLDEST }

/** Before what may be done twice is asked for again, ms. */
const AGAIN_MS = 100
/** Time that replicas have to confirm an event, ms. */
const REPLICAS_MS = 500

type Value = string | number
type Row = [place: string, id: string | null, body: string | null, failedAt: string | null, attempts: string | null, coalesced: string | null, error: string | null]
type Begun = [seq: string, group: string, state: GroupState, attempts: number, coalesced: number, progress: string | null, body: string]

export interface RedisEventsOptions {
  /** A connection of one's own that sends no command again by itself: what a turn began would be lost with its first answer. */
  client: Redis | Cluster
  /** Where events are added; apart from `client` where it waits for replicas. */
  adds: Redis | Cluster
  /** `AppKeys.events`. */
  prefix: string
  settings: EventStoreSettings & { maxWaitingBytes: number }
  waitReplicas: number
  /** Calls `wake` when something waits; what it returns ends that. */
  subscribe: (wake: () => void) => Promise<() => void>
  onWarning: (problem: string) => void
}

/** Keeps events in Redis 6.2 or later, or Valkey: each verb is one script, and all keys of an app have one hash tag. */
export class RedisEvents implements EventStore {
  readonly onWaiting: EventStore['onWaiting']
  readonly #options: RedisEventsOptions

  constructor (options: RedisEventsOptions) {
    this.#options = options
    this.onWaiting = options.subscribe
    for (const client of new Set([options.client, options.adds])) {
      for (const [name, lua] of Object.entries(EVENT_SCRIPTS)) client.defineCommand(commandOf(name), { lua, numberOfKeys: 1 })
    }
  }

  async add (events: readonly NewEvent[]): Promise<AddResult[]> {
    const values = events.flatMap(({ id, group, code, isPriority, key = '', dedup = '', body }) => [id, group, isPriority ? '0' : '1', code, key, dedup, body])
    const { waitReplicas, settings: { maxWaitingBytes } } = this.#options
    if (waitReplicas > 0) return await withinDeadline(this.#addAndWait([maxWaitingBytes, ...values], waitReplicas))
    return await this.#again('ADD', maxWaitingBytes, ...values)
  }

  async turn ({ worker, leaseMs, free, concurrency, runs, running, runningOf, responsive, hung, outcomes }: Turn): Promise<TurnResult> {
    const { attempts, deadLetters: { maxAgeMs, maxCount, maxBytes } } = this.#options.settings
    const groups = Object.entries(running)
    const values: Value[] = [worker, leaseMs, free, concurrency, runningOf.untested, runningOf.hung, attempts, maxAgeMs, maxCount, maxBytes, groups.length]
    for (const [group, { own, most }] of groups) values.push(group, own, most)
    values.push(responsive.length, ...responsive, hung.length, ...hung, outcomes.length)
    for (const outcome of outcomes) values.push(...valuesOf(outcome))
    if (runs === undefined) values.push(0)
    else values.push(1, runs.length, ...runs)
    const [begun, dead, due, evicted, isLost, lost] = await withinDeadline(this.#run<[Begun[], Row[], number, number, number, number]>('TURN', values))
    if (lost > 0) this.#options.onWarning(`${lost} events are lost: somebody deleted or overwrote what Redis kept of them`)
    return { begun: begun.map(begunOf), dead: dead.map(deadOf), dueInMs: due < 0 ? undefined : due, evicted, isLeaseLost: isLost === 1 }
  }

  async listen (worker: string, codes: readonly string[] | undefined): Promise<void> {
    // A set without members does not exist, and what does not exist listens to everything.
    await this.#again('LISTEN', worker, ...(codes === undefined ? [] : ['', ...codes]))
  }

  async saveProgress (worker: string, seq: string, progress: string): Promise<boolean> {
    return await this.#again('SAVE', worker, seq, progress) === 1
  }

  async counts (): Promise<EventCounts> {
    const [waiting, active, dead] = await this.#again<[number, number, number]>('COUNTS')
    return { waiting, active, dead }
  }

  async oldestWaiting (): Promise<string | undefined> {
    return await this.#again<string | null>('OLDEST') ?? undefined
  }

  async listDead (below: number | undefined, limit: number): Promise<DeadRow[]> {
    return (await this.#again<Row[]>('LIST_DEAD', below ?? 'inf', limit)).map(deadOf)
  }

  async getDead (id: string): Promise<DeadRow | undefined> {
    const row = await this.#again<Row | null>('GET_DEAD', id)
    return row === null ? undefined : deadOf(row)
  }

  async replay (id: string): Promise<boolean> {
    return await withinDeadline(this.#run('REPLAY', [this.#options.settings.maxWaitingBytes, id])) === 1
  }

  async discard (id: string): Promise<boolean> {
    return await withinDeadline(this.#run('DISCARD', [id])) === 1
  }

  #run<T> (name: keyof typeof EVENT_SCRIPTS, values: readonly Value[]): Promise<T> {
    const { client, adds, prefix } = this.#options
    const commands = (name === 'ADD' ? adds : client) as unknown as Record<string, (values: Value[]) => Promise<T>>
    return commands[commandOf(name)]!([prefix, ...values])
  }

  /** Of what may be done twice: once more when the connection was lost, so that a blip costs nobody an event. */
  async #again<T> (name: keyof typeof EVENT_SCRIPTS, ...values: Value[]): Promise<T> {
    return await withinDeadline(this.#run<T>(name, values).catch(async (error: Error) => {
      if (!isConnectionError(bareError(error))) throw error
      await sleep(AGAIN_MS)
      return await this.#run<T>(name, values)
    }))
  }

  /** In a pipeline, which goes to one node, and with the script itself: a script that the node does not know would be sent again behind WAIT. */
  async #addAndWait (values: Value[], replicas: number, isSecond = false): Promise<AddResult[]> {
    const { adds, prefix } = this.#options
    const [[failure, results], [problem, confirmed]] = await adds.pipeline().eval(ADD, 1, prefix, ...values).wait(replicas, REPLICAS_MS).exec() as
      [[Error | null, AddResult[]], [Error | null, number]]
    if (failure?.message.startsWith('MOVED') === true && !isSecond) {
      // A Cluster follows a command to another node, and a pipeline with WAIT in it never.
      await adds.eval('return 1', 1, prefix)
      return await this.#addAndWait(values, replicas, true)
    }
    if (failure !== null) throw failure
    if (problem !== null) throw problem
    if (confirmed < replicas) throw new Error(`${confirmed} of ${replicas} replicas have the event within ${REPLICAS_MS} ms`)
    return results
  }
}

function commandOf (name: string): string {
  return `b24${name}`
}

function valuesOf (outcome: StoredOutcome): Value[] {
  const { seq, status } = outcome
  if (status === 'done') return [seq, status, 0, 0, '']
  if (status === 'wait') return [seq, status, outcome.attempts, outcome.delayMs, outcome.isRetry ? '1' : '']
  return [seq, status, outcome.attempts, 0, outcome.error]
}

function begunOf ([seq, group, groupState, attempts, coalesced, progress, body]: Begun): BegunEvent {
  return { seq, group, groupState, attempts, coalesced, progress: progress ?? undefined, body }
}

function deadOf ([place, id, body, failedAt, attempts, coalesced, error]: Row): DeadRow {
  return { place: Number(place), id: id ?? '', body: body ?? '', failedAt: Number(failedAt), attempts: Number(attempts), coalesced: Number(coalesced ?? 1), error: error ?? '' }
}
