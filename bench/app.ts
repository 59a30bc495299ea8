import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyBitrix24Options } from 'fastify-bitrix24'
import type { Sender } from './common/body.ts'

export type Options = FastifyBitrix24Options
export type Delivery = NonNullable<Options['delivery']>

export const ADAPTERS = ['Redis', 'SQLite'] as const
export type Adapter = typeof ADAPTERS[number]

const SENDERS = 50

/** An app that one or more programs of the benchmark are. Without a Redis it has a folder of its own. */
export class App {
  readonly #options: Options
  readonly #dataDir = mkdtempSync(join(tmpdir(), 'b24-bench-'))

  constructor (options: Options) {
    this.#options = options
  }

  /** An app that nothing is known of but outgoing webhooks of many portals: `senders` are theirs. */
  static of (adapter: Adapter, redisUrl: string, portals = SENDERS): { app: App, senders: Sender[] } {
    const senders = Array.from({ length: portals }, (_, number) => ({
      memberId: randomBytes(16).toString('hex'),
      domain: `portal${number}.bitrix24.com`,
      applicationToken: randomBytes(16).toString('hex')
    }))
    const app = new App({
      clientId: `local.${randomBytes(8).toString('hex')}`,
      clientSecret: randomBytes(20).toString('hex'),
      webhooks: senders.map(({ memberId, applicationToken }) => ({ memberId, applicationToken })),
      ...(adapter === 'Redis' && { redis: redisUrl })
    })
    return { app, senders }
  }

  /** Options of the plugin. */
  plugin (delivery: Delivery = {}): Options {
    return { ...this.#options, dataDir: this.#dataDir, delivery }
  }

  /** Removes the folder. */
  remove (): void {
    rmSync(this.#dataDir, { recursive: true, force: true })
  }
}
