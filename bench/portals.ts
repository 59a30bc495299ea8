import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { appId, appKeys, type AppKeys } from '../src/storage/redis/keys.ts'
import { createSimulator, type Simulator } from '../src/testing/index.ts'
import { ADAPTERS, App, type Adapter, type Delivery, type Options } from './app.ts'
import { ITEM_ID, itemUpdate } from './common/body.ts'
import type { ServerSettings } from './common/parent.ts'
import { urlOf, type Programs } from './programs.ts'

const PORTALS = 50
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** Portals that installed the app of this run, in Redis and in SQLite, and what the servers need to know of them. */
export class Portals {
  readonly server: ServerSettings
  readonly #apps: Record<Adapter, App>
  readonly #keys: AppKeys
  readonly #redis: Redis
  readonly #simulator: Simulator

  private constructor (redisUrl: string, simulator: Simulator, keys: { clientId: string, clientSecret: string }) {
    const common = { ...keys, oauthServers: [simulator.oauthServer], allowPrivateNetworks: true }
    this.#apps = { Redis: new App({ ...common, redis: redisUrl }), SQLite: new App(common) }
    this.#keys = appKeys(appId(keys.clientId))
    this.#redis = new Redis(redisUrl)
    this.#simulator = simulator
    this.server = { redisUrl, installKey: this.#keys.install(''), recipeKey: 'recipe:', queueName: 'bare' }
  }

  static async open (programs: Programs, redisUrl: string): Promise<Portals> {
    const keys = { clientId: `local.${randomBytes(8).toString('hex')}`, clientSecret: randomBytes(20).toString('hex') }
    const portals = new Portals(redisUrl, await createSimulator(keys), keys)
    await portals.#fill()
    for (const adapter of ADAPTERS) await portals.#install(programs, adapter)
    return portals
  }

  plugin (adapter: Adapter, delivery: Delivery): Options {
    return this.#apps[adapter].plugin(delivery)
  }

  /** The same event from each portal, each post of another item. */
  bodies (): string[] {
    return this.#simulator.portals().map(portal => itemUpdate(portal, ITEM_ID))
  }

  /** Throws unless `url` takes the event, and, where it proves the sender, refuses the same with another token. */
  async check (url: string, proves: boolean): Promise<void> {
    const portal = this.#simulator.portals()[0]!
    const { status } = await fetch(url, { method: 'POST', headers: FORM, body: itemUpdate(portal) })
    const forged = itemUpdate({ memberId: portal.memberId, domain: portal.domain, applicationToken: 'x'.repeat(32) })
    const { status: forgedStatus } = await fetch(url, { method: 'POST', headers: FORM, body: forged })
    if (status !== 200 || (proves && forgedStatus !== 403)) throw new Error(`${url} answers ${status}, and ${forgedStatus} to a forged event`)
  }

  /** Deletes what was queued, ours and theirs; settings of the queues stay. */
  async emptyQueues (): Promise<void> {
    const { install, installs } = this.#keys
    const queues = [installs.replace(/installs$/, '*'), `bull:${this.server.queueName}:*`]
    for (const match of queues) {
      for await (const keys of this.#redis.scanStream({ match, count: 1_000 }) as AsyncIterable<string[]>) {
        const queued = keys.filter(key => key !== installs && !key.startsWith(install('')) && !key.endsWith(':meta'))
        if (queued.length > 0) await this.#redis.del(...queued)
      }
    }
  }

  /** Processor time that Redis has used, µs. */
  async redisMicros (): Promise<number> {
    const info = await this.#redis.info('cpu')
    const seconds = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)![1])
    return (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1e6
  }

  /** Redis commands for each of the events that `send` sends. */
  async countCommands (send: () => Promise<number>): Promise<number> {
    const before = await this.#processed()
    const events = await send()
    return (await this.#processed() - before) / events
  }

  async close (): Promise<void> {
    this.#redis.disconnect()
    await this.#simulator.close()
    for (const app of Object.values(this.#apps)) app.remove()
  }

  /** As the recipe keeps them. */
  async #fill (): Promise<void> {
    for (let number = 0; number < PORTALS; number++) {
      const portal = this.#simulator.portal(`portal${number}.bitrix24.com`)
      const auth = { application_token: portal.applicationToken, domain: portal.domain, access_token: 'b'.repeat(70), refresh_token: 'c'.repeat(70) }
      await this.#redis.set(this.server.recipeKey + portal.memberId, JSON.stringify(auth))
    }
  }

  async #install (programs: Programs, adapter: Adapter): Promise<void> {
    const server = await programs.start('ours', undefined, { plugin: this.plugin(adapter, { mode: 'inline' }) })
    for (const portal of this.#simulator.portals()) {
      const { statusCode } = await portal.install(urlOf(server))
      if (statusCode !== 200) throw new Error(`An install was answered ${statusCode}`)
    }
    await server.stop()
  }

  async #processed (): Promise<number> {
    const info = await this.#redis.info('stats')
    return Number(/total_commands_processed:(\d+)/.exec(info)?.[1])
  }
}
