import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { outcome, type SimulatedPortal } from '../../src/testing/index.ts'
import type { Order, OrderEvent } from '../faults/programs/app.ts'
import { now } from './journal.ts'

/** One post and what was answered. */
export interface Post {
  n: number
  event: OrderEvent
  /** As the journal names it. */
  item: string
  /** 0 when no answer came. */
  statusCode: number
  /** ms on the clock of the journal. */
  beganAt: number
  endedAt: number
}

export interface LoadOptions {
  url: string
  orderOf: (n: number) => Order
  /** @default 'onCrmDealUpdate' */
  event?: OrderEvent
  /** Posts under way at once. */
  concurrency?: number
  /** Pause of each sender after an answer, ms. */
  pauseMs?: number
}

/** Portals that post without end until it is stopped; at most `MOST` events. */
export class Load {
  static readonly MOST = 20_000
  readonly #posts: Post[]
  readonly #portals: readonly SimulatedPortal[]
  readonly #options: LoadOptions
  readonly #senders: Array<Promise<void>>
  readonly #end: number
  #stopped = false

  /** Begins to post; what was answered is added to `posts`, and `next` numbers each. */
  constructor (portals: readonly SimulatedPortal[], posts: Post[], next: () => number, options: LoadOptions) {
    this.#portals = portals
    this.#posts = posts
    this.#options = options
    this.#end = posts.length + Load.MOST
    this.#senders = Array.from({ length: options.concurrency ?? 8 }, async () => await this.#send(next))
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#senders)
  }

  async #send (next: () => number): Promise<void> {
    const { url, orderOf, event = 'onCrmDealUpdate', pauseMs = 2 } = this.#options
    while (!this.#stopped && this.#posts.length < this.#end) {
      const n = next()
      const portal = this.#portals[n % this.#portals.length] as SimulatedPortal
      const order = orderOf(n)
      const beganAt = now()
      const { statusCode } = await outcome(portal.send(event, { FIELDS: order }, { url }))
      this.#posts.push({ n, event, item: itemOf(portal, event, order.ID), statusCode, beganAt, endedAt: now() })
      await sleep(statusCode === 0 ? 50 : pauseMs)
    }
  }
}

/** Posts the events numbered from `first` over a few connections that are kept open, as fast as they are answered. */
export async function postMany (portal: SimulatedPortal, url: string, first: number, count: number): Promise<Post[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const posts: Post[] = []
  let next = first
  const sender = async (): Promise<void> => {
    while (next < first + count) {
      const n = next++
      const item = itemOf(portal, 'onCrmDealUpdate', 100 + n)
      const beganAt = now()
      posts.push({ n, event: 'onCrmDealUpdate', item, statusCode: await postOne(agent, url, bodyOf(portal, n)), beganAt, endedAt: now() })
    }
  }
  await Promise.all(Array.from({ length: 32 }, sender))
  agent.destroy()
  return posts
}

function itemOf ({ memberId }: SimulatedPortal, event: OrderEvent, id: number): string {
  return `${memberId}/${event}/${id}`
}

function bodyOf ({ memberId, domain, applicationToken }: SimulatedPortal, n: number): string {
  return new URLSearchParams({
    event: 'ONCRMDEALUPDATE',
    event_handler_id: '58',
    'data[FIELDS][ID]': String(100 + n),
    'data[FIELDS][N]': String(n),
    ts: String(Math.floor(Date.now() / 1000)),
    'auth[domain]': domain,
    'auth[member_id]': memberId,
    'auth[application_token]': applicationToken
  }).toString()
}

function postOne (agent: Agent, url: string, body: string): Promise<number> {
  return new Promise((resolve) => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) }
    const outgoing = request(url, { method: 'POST', agent, headers }, response => {
      response.once('close', () => resolve(response.statusCode as number)).resume()
    })
    outgoing.once('error', () => resolve(0)).end(body)
  })
}
