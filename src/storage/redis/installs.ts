import type { Install } from '../../installs/install.ts'
import type { InstallList, InstallStore, StoredInstall } from '../install-store.ts'
import type { BoundedClient } from './connect.ts'
import { type AppKeys, appKeys } from './keys.ts'
import { ParseCache, decodeRecord, encodeRecord } from '../install-record.ts'

const PAGE = 100

// KEYS: record, index. ARGV: version to replace, new value, memberId.
const SWAP = `
local current = redis.call('GET', KEYS[1])
if current == ARGV[2] then return 1 end
if current then
  if string.sub(current, 1, #ARGV[1] + 1) ~= ARGV[1] .. '.' then return 0 end
else
  if ARGV[1] ~= '0' then return 0 end
  redis.call('ZADD', KEYS[2], 0, ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[2])
return 1`

// KEYS: index. ARGV: start, page size.
const PAGE_OF_IDS = "return redis.call('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])"

/**
 * Keeps installs in Redis 6.2 or later, or Valkey: one value per portal, read in one round trip.
 *
 * How durable a write is, Redis decides (`appendfsync`); its eviction policy must be `noeviction`.
 */
export class RedisInstallStore implements InstallStore {
  readonly #client: BoundedClient
  readonly #keys: AppKeys
  readonly #records = new ParseCache(decodeRecord)

  /** `app` is an `appId()`. */
  constructor (client: BoundedClient, app: string) {
    this.#client = client
    this.#keys = appKeys(app)
  }

  async get (memberId: string): Promise<StoredInstall | undefined> {
    const value = await this.#client.get(this.#keys.install(memberId))
    return value === null ? undefined : this.#records.of(memberId, value)
  }

  async swap (memberId: string, version: number, next: Install): Promise<boolean> {
    const value = encodeRecord(version + 1, next)
    const keys = [this.#keys.install(memberId), this.#keys.installs]
    return await this.#client.eval(SWAP, 2, ...keys, version, value, memberId) === 1
  }

  async scan (cursor?: string): Promise<InstallList> {
    const start = cursor === undefined ? '-' : `(${cursor}`
    const ids = await this.#client.eval(PAGE_OF_IDS, 1, this.#keys.installs, start, PAGE) as string[]
    const found = await Promise.all(ids.map((id) => this.get(id)))
    const installs = found.flatMap((stored) => stored === undefined ? [] : [stored.install])
    const last = ids[PAGE - 1]
    return last === undefined ? { installs } : { installs, cursor: last }
  }
}
