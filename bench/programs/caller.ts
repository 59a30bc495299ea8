import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiVersion, B24OAuth, type B24OAuthParams } from '@bitrix24/b24jssdk'
import { Redis } from 'ioredis'
import { RedisInstallStore } from '../../src/storage/redis/installs.ts'
import type { InstallStore } from '../../src/storage/install-store.ts'
import { completeDelivery } from '../../src/delivery/delivery-options.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { createEncryptor } from '../../src/oauth/encryption.ts'
import { LocalLimits } from '../../src/storage/sqlite/call-rate-limits.ts'
import type { Locks } from '../../src/storage/storage.ts'
import type { PortalLimits } from '../../src/storage/call-rate-limits.ts'
import { RedisLimits } from '../../src/storage/redis/call-rate-limits.ts'
import { RedisLocks } from '../../src/storage/redis/locks.ts'
import { PortalRest } from '../../src/portal/rest/rest.ts'
import { RestTransport } from '../../src/portal/rest/rest-transport.ts'
import { UNRESTRICTED } from '../../src/portal/rest/sdk.ts'
import { Tokens } from '../../src/portal/tokens/tokens.ts'
import { bounded } from '../../src/storage/redis/connect.ts'
import { appId } from '../../src/storage/redis/keys.ts'
import { readSettings, serveParent } from '../common/parent.ts'

export interface CallerSettings {
  redisUrl: string
  /** Origin of the portal. */
  portal: string
}

export type Caller = 'bare' | 'Redis' | 'SQLite'

export interface CallOrder {
  caller: Caller
  calls: number
  atOnce: number
}

export interface CallResult {
  /** Time of each call, ms. */
  times: number[]
  /** Time of all, ms. */
  wholeMs: number
  /** Commands that Redis got. */
  redisCommands: number
}

// Calls a portal with the bare SDK, and as the plugin does, in one process, so that both see the same machine.
const { redisUrl, portal } = readSettings<CallerSettings>()
const MEMBER_ID = randomBytes(16).toString('hex')
const PAIR = { accessToken: 'b'.repeat(70), refreshToken: 'c'.repeat(70), expiresAt: Date.now() + 3_600_000 }
// So that no call waits.
const RATES = { drainPerSecond: 1_000, burst: 1_000_000 }
const keys = { clientId: `local.${randomBytes(8).toString('hex')}`, clientSecret: randomBytes(20).toString('hex') }
const app = appId(keys.clientId)
const encryptor = createEncryptor([], keys.clientSecret, keys.clientId)
const dataDir = mkdtempSync(join(tmpdir(), 'b24-bench-'))
process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }))
let redisCommands = 0

const redis = new Redis(redisUrl)
const client = bounded({
  mget: keys => { redisCommands++; return redis.mget(keys) },
  eval: (script, count, ...rest) => { redisCommands++; return redis.eval(script, count, ...rest) }
})
const kept = await openStorage({ dataDir }, {
  app, events: completeDelivery({}), waitReplicas: 0, onError: () => {}, onReady: () => {}, onWarning: () => {}
})
const rests = {
  Redis: await restOn(new RedisInstallStore(client, app), new RedisLocks(client, app), new RedisLimits(client, RATES)),
  SQLite: await restOn(kept.installs, kept.locks, new LocalLimits(RATES))
}
const bare = new B24OAuth({
  ...PAIR,
  applicationToken: '',
  userId: 1,
  memberId: MEMBER_ID,
  expires: PAIR.expiresAt / 1000,
  expiresIn: 3600,
  scope: '',
  domain: 'acme.bitrix24.com',
  clientEndpoint: `${portal}/rest/`,
  serverEndpoint: `${portal}/rest/`,
  status: 'F' as B24OAuthParams['status']
}, keys, { restrictionParams: UNRESTRICTED })
// As ours: the default is to warn whoever would use it in a browser.
bare.offClientSideWarning()
bare.getHttpClient(ApiVersion.v2).ajaxClient.defaults.timeout = 65_000

const PARAMS = { entityTypeId: 2, id: 24 }
const callers: Record<Caller, () => Promise<unknown>> = {
  bare: async () => (await bare.actions.v2.call.make({ method: 'crm.item.get', params: PARAMS })).getData()?.result,
  Redis: async () => await rests.Redis.call(MEMBER_ID, 'crm.item.get', PARAMS),
  SQLite: async () => await rests.SQLite.call(MEMBER_ID, 'crm.item.get', PARAMS)
}

serveParent({}, async ({ caller, calls, atOnce }: CallOrder): Promise<CallResult> => {
  const call = callers[caller]
  const times: number[] = []
  redisCommands = 0
  const start = performance.now()
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let count = 0; count < calls / atOnce; count++) {
      const start = performance.now()
      const result = await call() as { item?: { id: number } } | undefined
      times.push(performance.now() - start)
      if (result?.item?.id !== 24) throw new Error(`${caller} got no item`)
    }
  }))
  return { times, wholeMs: performance.now() - start, redisCommands }
})

async function restOn (store: InstallStore, locks: Locks, limits: PortalLimits): Promise<PortalRest> {
  await store.swap(MEMBER_ID, 0, {
    memberId: MEMBER_ID,
    state: 'active',
    domain: 'acme.bitrix24.com',
    clientEndpoint: `${portal}/rest/`,
    oauthServer: 'https://oauth.bitrix.info',
    token: 'digest',
    installer: { encrypted: encryptor.encrypt(PAIR, MEMBER_ID), userId: 1, expiresAt: PAIR.expiresAt },
    scope: ['crm'],
    ts: 1,
    installedAt: 1,
    updatedAt: 1
  })
  const nobody = () => {}
  const tokens = new Tokens({
    store,
    locks,
    encryptor,
    oauth: { ...keys, allowedServers: ['https://oauth.bitrix.info'] },
    listener: { reauthRequired: nobody, renamed: nobody, suspended: nobody },
    log: { info: nobody, warn: nobody, error: nobody }
  })
  return new PortalRest({ tokens, limits, transport: new RestTransport({ allowPrivateNetworks: true }) })
}
