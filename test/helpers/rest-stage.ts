import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { Install } from '../../src/installs/install.ts'
import { RedisInstallStore } from '../../src/storage/redis/installs.ts'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import type { BucketRates } from '../../src/storage/call-rate-limits.ts'
import { PlanLimits } from '../../src/portal/plan-limits.ts'
import { RedisLimits } from '../../src/storage/redis/call-rate-limits.ts'
import { RedisLocks } from '../../src/storage/redis/locks.ts'
import { PortalRest, type RestParts } from '../../src/portal/rest/rest.ts'
import { Tokens } from '../../src/portal/tokens/tokens.ts'
import type { BoundedClient } from '../../src/storage/redis/connect.ts'
import { connectRedis } from './connect-redis.ts'
import { appId } from '../../src/storage/redis/keys.ts'
import { createSimulator, type SimulatedPair, type SimulatedPortal, type Simulator } from '../../src/testing/index.ts'
import { endSimulator } from './end-simulator.ts'
import { forgetApp } from './redis-keys.ts'
import { remember } from './secrets.ts'
import { transportOf } from './transport.ts'

export interface RestStage {
  b24: Simulator
  rest: PortalRest
  tokens: Tokens
  /** How often Redis was asked. */
  asked: { get: number, eval: number }
  /** Another process of the same app. */
  another (parts?: Partial<RestParts>): PortalRest
  /** Keeps a portal that installed the app, with a pair of the simulator. */
  install (portal: SimulatedPortal, changes?: Partial<Install>): Promise<SimulatedPair>
  /** What Tokens reported. */
  reported: string[]
}

export interface StageOptions extends Partial<RestParts> {
  rates?: BucketRates
  limits?: RestParts['limits']
}

/** Portals of the simulator, their installs in Redis, and REST on them as the plugin makes it. */
export async function openRestStage (t: Test, options: StageOptions = {}): Promise<RestStage> {
  const keys = { clientId: `local.${randomBytes(6).toString('hex')}`, clientSecret: remember(randomBytes(20).toString('hex')) }
  const b24 = await createSimulator(keys)
  const app = appId(keys.clientId)
  const encryptor = createEncryptor([], keys.clientSecret, keys.clientId)
  const asked = { get: 0, eval: 0 }
  const reported: string[] = []
  forgetApp(t, keys.clientId)
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const oauth = { ...keys, allowedServers: [b24.oauthServer] }
  const report = (what: string) => (memberId: string): void => { reported.push(`${what} ${memberId}`) }
  const connection = await connectRedis(process.env['REDIS_URL'] as string)
  const client: BoundedClient = {
    get: async key => { asked.get++; return await connection.client.get(key) },
    eval: async (...args) => { asked.eval++; return await connection.client.eval(...args) }
  }
  const store = new RedisInstallStore(client, app)
  const { rates = { drainPerSecond: 1_000, burst: 1_000 }, ...given } = options
  const makeTokens = () => new Tokens({
    store,
    locks: new RedisLocks(client, app),
    encryptor,
    oauth,
    listener: { reauthRequired: report('reauth'), renamed: report('renamed'), suspended: report('suspended') },
    log
  })
  const another = (parts: Partial<RestParts> = {}) => {
    return new PortalRest({ tokens: makeTokens(), limits: new PlanLimits({ buckets: new RedisLimits(client), store, app, settings: rates }), transport: transportOf(t), ...given, ...parts })
  }
  const tokens = makeTokens()
  t.teardown(async () => {
    await tokens.close()
    await connection.close()
    await endSimulator(b24)
  })
  return {
    b24,
    rest: another({ tokens }),
    tokens,
    asked,
    another,
    reported,
    install: async (portal, changes = {}) => {
      const pair = portal.issue()
      const { memberId, domain, clientEndpoint } = portal
      const { userId, expiresAt } = pair
      const installer = { encrypted: encryptor.encrypt(pair, memberId), userId, expiresAt }
      const known = await store.get(memberId)
      await store.swap(memberId, known?.version ?? 0, {
        memberId,
        domain,
        clientEndpoint,
        installer,
        state: 'active',
        oauthServer: b24.oauthServer,
        token: 'digest',
        scope: ['crm'],
        ts: 1,
        installedAt: 1,
        updatedAt: 1,
        ...changes
      })
      return pair
    }
  }
}
