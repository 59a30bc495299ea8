import type { Cluster, Redis } from 'ioredis'
import { withinDeadline } from '../unavailable.ts'
import { end } from './connect.ts'

/** Subscribes to waiting events, on a separate connection opened with the first subscription. A Cluster has one already. */
export class WaitingChannel {
  readonly name: string
  readonly #client: Redis | Cluster
  readonly #wakes = new Set<() => void>()
  #subscriber: Redis | Cluster | undefined

  /** @param name with the prefix that `client` gives its keys */
  constructor (client: Redis | Cluster, name: string) {
    this.#client = client
    this.name = name
  }

  /** Calls `wake` at each message, and whenever messages may have been missed. */
  async subscribe (wake: () => void): Promise<() => void> {
    this.#wakes.add(wake)
    const subscriber = this.#subscriber ??= this.#open()
    // At the latest the next connection succeeds; who waits looks now and then all the same.
    await withinDeadline(subscriber.subscribe(this.name)).catch(() => {})
    return () => { this.#wakes.delete(wake) }
  }

  close (): void {
    this.#wakes.clear()
    if (this.#subscriber !== undefined && this.#subscriber !== this.#client) end(this.#subscriber as Redis)
  }

  #open (): Redis | Cluster {
    const client = this.#client
    const subscriber = 'nodes' in client ? client : client.duplicate()
    const wake = (): void => { for (const wake of this.#wakes) wake() }
    subscriber.on('message', wake)
    subscriber.on('ready', () => {
      subscriber.subscribe(this.name).then(wake, () => {})
    })
    // The main client reports the same outage.
    if (subscriber !== client) subscriber.on('error', () => {})
    return subscriber
  }
}
