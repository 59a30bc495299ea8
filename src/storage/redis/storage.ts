import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { FST_B24_STORAGE_LAYOUT } from '../../errors.ts'
import { LAYOUT, type Storage, type StorageSettings } from '../storage.ts'
import { withinDeadline } from '../unavailable.ts'
import { checkCommands } from './commands.ts'
import { bounded, end, openIoredis, quit, type RedisOption } from './connect.ts'
import { checkDurability } from './durability.ts'
import { RedisEvents } from './events.ts'
import { RedisInstallStore } from './installs.ts'
import { appKeys, waitingChannel } from './keys.ts'
import { RedisLimits } from './call-rate-limits.ts'
import { RedisLocks } from './locks.ts'
import { RedisPendingInstalls } from './pending-installs.ts'
import { WaitingChannel } from './waiting-channel.ts'

const GB = 1024 ** 3

/**
 * Opens all that an app keeps in Redis, with connections of its own: one, one more where events wait for others, and one more to add events where replicas
 * have to confirm them.
 *
 * @throws FST_B24_STORE_UNAVAILABLE if Redis does not answer within `deadlineMs` (default 5 s), or its user lacks the permission for a required command
 * @throws FST_B24_STORAGE_LAYOUT when another version of the plugin keeps its own there
 * @throws FST_B24_INVALID_OPTIONS for a string that is no URL of Redis
 */
export async function openRedisStorage (option: RedisOption, settings: StorageSettings, deadlineMs?: number): Promise<Storage> {
  const { app, events, waitReplicas, onError, onReady, onWarning } = settings
  const opened: Redis[] = []
  const open = async (onReady?: () => void): Promise<Redis> => {
    const client = await openIoredis(option, SENT_ONCE, onError, deadlineMs, onReady)
    opened.push(client)
    return client
  }
  try {
    const client = await open(onReady)
    const keys = appKeys(app)
    const channel = new WaitingChannel(client, `${prefixOf(client)}${waitingChannel(app)}`)
    await checkCommands(client, keys.events, channel.name)
    await checkLayout(client, keys.layout)
    // Asked, and not waited for: it stops nobody.
    checkDurability(client).then(problem => { if (problem !== undefined) onWarning(problem) })
    const asked = bounded(client)
    return {
      installs: new RedisInstallStore(asked, app),
      pendingInstalls: new RedisPendingInstalls(asked, app),
      events: new RedisEvents({
        client,
        adds: waitReplicas > 0 ? await open() : client,
        prefix: keys.events,
        settings: { ...events, maxWaitingBytes: Number.isFinite(events.maxWaitingBytes) ? events.maxWaitingBytes as number : await halfOfMemory(client) },
        waitReplicas,
        subscribe: wake => channel.subscribe(wake),
        onWarning
      }),
      limits: new RedisLimits(asked),
      locks: new RedisLocks(asked, app),
      close: async () => {
        channel.close()
        await Promise.all(opened.map(quit))
      }
    }
  } catch (error) {
    opened.forEach(end)
    throw error
  }
}

/** A command that was sent is not sent again: what a turn began would be lost with its first answer. */
const SENT_ONCE: RedisOptions = { autoResendUnfulfilledCommands: false }

function prefixOf (client: Redis | Cluster): string {
  return client.options.keyPrefix ?? ''
}

async function checkLayout (client: Redis, key: string): Promise<void> {
  const found = await withinDeadline(client.eval("redis.call('SET', KEYS[1], ARGV[1], 'NX') return redis.call('GET', KEYS[1])", 1, key, LAYOUT)) as string
  if (found !== LAYOUT) throw new FST_B24_STORAGE_LAYOUT(found, LAYOUT)
}

/** Half of `maxmemory` of Redis if it is set and readable, otherwise 1 GB. */
async function halfOfMemory (client: Redis): Promise<number> {
  const memory = await withinDeadline(client.info('memory')).catch(() => '')
  const most = Number(/^maxmemory:(\d+)/m.exec(memory)?.[1] ?? 0)
  return most > 0 ? most / 2 : GB
}
