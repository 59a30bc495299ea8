import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { appId, appKeys } from '../src/redis/keys.ts'
import { createSimulator, type Simulator } from '../src/testing/index.ts'
import { itemUpdate } from './common/body.ts'
import type { ServerSettings } from './common/parent.ts'

const PORTALS = 50
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** Portals that installed the app of this run, and what the servers need to know of them. */
export class Portals {
  readonly settings: ServerSettings & { dataDir: string }
  readonly #redis: Redis
  readonly #simulator: Simulator
  readonly #installsKey: string

  private constructor (redisUrl: string, simulator: Simulator, keys: { clientId: string, clientSecret: string }) {
    const { install, installs } = appKeys(appId(keys.clientId))
    this.#redis = new Redis(redisUrl)
    this.#simulator = simulator
    this.#installsKey = installs
    this.settings = {
      ...keys,
      redisUrl,
      installKey: install(''),
      recipeKey: `bench:${keys.clientId}:`,
      dataDir: mkdtempSync(join(tmpdir(), 'b24-bench-')),
      oauthServer: simulator.oauthServer
    }
  }

  static async open (redisUrl: string): Promise<Portals> {
    const keys = { clientId: `local.${randomBytes(8).toString('hex')}`, clientSecret: randomBytes(20).toString('hex') }
    const portals = new Portals(redisUrl, await createSimulator(keys), keys)
    await portals.#fill()
    return portals
  }

  /** The same event from each portal. */
  bodies (): string[] {
    return this.#simulator.portals().map(itemUpdate)
  }

  /** Lets every portal install the app that answers at `url`. */
  async install (url: string): Promise<void> {
    for (const portal of this.#simulator.portals()) {
      const { statusCode } = await portal.install(url)
      if (statusCode !== 200) throw new Error(`An install was answered ${statusCode}`)
    }
  }

  /** Throws unless `url` takes the event, and, where it proves the sender, refuses the same with another token. */
  async check (url: string, proves: boolean): Promise<void> {
    const portal = this.#simulator.portals()[0]!
    const { status } = await fetch(url, { method: 'POST', headers: FORM, body: itemUpdate(portal) })
    const forged = itemUpdate({ memberId: portal.memberId, domain: portal.domain, applicationToken: 'x'.repeat(32) })
    const { status: forgedStatus } = await fetch(url, { method: 'POST', headers: FORM, body: forged })
    if (status !== 200 || (proves && forgedStatus !== 403)) throw new Error(`${url} answers ${status}, and ${forgedStatus} to a forged event`)
  }

  /** Redis commands for each of the events that `send` sends: the fewest of three tries, in case others use this Redis. */
  async countCommands (send: () => Promise<number>): Promise<number> {
    const each: number[] = []
    for (let tries = 0; tries < 3; tries++) {
      const before = await this.#processed()
      const events = await send()
      // One of them is the INFO that asked.
      each.push((await this.#processed() - before - 1) / events)
    }
    return Math.min(...each)
  }

  /** Leaves nothing behind. */
  async close (): Promise<void> {
    const { installKey, recipeKey, dataDir } = this.settings
    const ids = this.#simulator.portals().map(({ memberId }) => memberId)
    await this.#redis.del(this.#installsKey, ...ids.flatMap(id => [installKey + id, recipeKey + id]))
    this.#redis.disconnect()
    await this.#simulator.close()
    rmSync(dataDir, { recursive: true })
  }

  async #fill (): Promise<void> {
    for (let number = 0; number < PORTALS; number++) {
      const portal = this.#simulator.portal(`portal${number}.bitrix24.com`)
      const auth = { application_token: portal.applicationToken, domain: portal.domain, access_token: 'b'.repeat(70), refresh_token: 'c'.repeat(70) }
      await this.#redis.set(this.settings.recipeKey + portal.memberId, JSON.stringify(auth))
    }
  }

  async #processed (): Promise<number> {
    const info = await this.#redis.info('stats')
    return Number(/total_commands_processed:(\d+)/.exec(info)?.[1])
  }
}
