import { randomBytes } from 'node:crypto'
import type { BoundedClient } from './connect.ts'
import { type AppKeys, appKeys } from './keys.ts'
import type { Lock, Locks } from '../storage.ts'

// KEYS: lock. ARGV: holder, ttl. A lost connection may repeat it, which must not look like another holder.
const TAKE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0`

// KEYS: lock. ARGV: holder, ttl.
const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

// KEYS: lock. ARGV: holder.
const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`

/** Keeps locks in Redis, a key each. */
export class RedisLocks implements Locks {
  readonly #client: BoundedClient
  readonly #keys: AppKeys

  /** `app` is an `appId()`. */
  constructor (client: BoundedClient, app: string) {
    this.#client = client
    this.#keys = appKeys(app)
  }

  async take (name: string, ttlMs: number): Promise<Lock | undefined> {
    const key = this.#keys.lock(name)
    const holder = randomBytes(12).toString('base64url')
    const run = async (script: string, ...rest: number[]) => await this.#client.eval(script, 1, key, holder, ...rest) === 1
    if (!await run(TAKE, ttlMs)) return undefined
    return {
      renew: async ttlMs => await run(RENEW, ttlMs),
      release: async () => { await run(RELEASE).catch(() => {}) }
    }
  }
}
