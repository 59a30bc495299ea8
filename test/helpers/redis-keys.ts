import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { appId } from '../../src/storage/redis/keys.ts'

/** Takes everything of an app out of the Redis at REDIS_URL when the test has ended. */
export function forgetApp (t: Test, clientId: string): void {
  t.teardown(async () => {
    const redis = new Redis(process.env['REDIS_URL'] ?? '')
    const keys = await redis.keys(`b24:{${appId(clientId)}}:*`)
    if (keys.length > 0) await redis.del(...keys)
    await redis.quit()
  })
}
