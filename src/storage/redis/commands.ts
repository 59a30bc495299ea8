import type { Cluster, Redis } from 'ioredis'
import { FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import { withinDeadline } from '../unavailable.ts'
import { EVENT_KEYS } from './keys.ts'

/** Commands that scripts use, each with arguments that do no harm behind the key. */
const IN_SCRIPTS: Record<string, readonly string[]> = {
  DEL: [],
  EXISTS: [],
  GET: [],
  HDEL: ['f'],
  HEXISTS: ['f'],
  HGET: ['f'],
  HGETALL: [],
  HINCRBY: ['f', '1'],
  HMGET: ['f'],
  HSET: ['f', '1'],
  HSETNX: ['f', '1'],
  INCR: [],
  INCRBY: ['1'],
  PERSIST: [],
  PEXPIRE: ['1000'],
  PTTL: [],
  SADD: ['m'],
  SCARD: [],
  SET: ['1'],
  SISMEMBER: ['m'],
  SMEMBERS: [],
  SPOP: ['1'],
  SRANDMEMBER: ['1'],
  SREM: ['m'],
  ZADD: ['1', 'm'],
  ZCARD: [],
  ZINCRBY: ['1', 'm'],
  ZPOPMIN: [],
  ZRANGE: ['0', '0'],
  ZRANGEBYSCORE: ['0', '1'],
  ZREM: ['m'],
  ZREMRANGEBYRANK: ['0', '0'],
  ZREVRANGE: ['0', '0'],
  ZREVRANGEBYSCORE: ['1', '0'],
  ZSCORE: ['m']
}

/**
 * All commands that the plugin needs of Redis, for the rules of its user. Beside them it asks CONFIG GET and INFO where it may; a Cluster needs
 * CLUSTER SLOTS and CLUSTER INFO.
 */
export const REDIS_COMMANDS: readonly string[] = [...Object.keys(IN_SCRIPTS), 'EVAL', 'EVALSHA', 'MGET', 'PUBLISH', 'SUBSCRIBE', 'TIME', 'UNSUBSCRIBE', 'WAIT'].sort()

// ARGV: of each command its name, how many arguments it has behind the key, and those. Answers the first that is refused, and why. What is refused for
// another reason, such as the type of a key, is allowed.
const CHECK = `${EVENT_KEYS}
redis.call('DEL', SCRATCH)
local function refused (name, ...)
  local answer = redis.pcall(name, ...)
  local problem = type(answer) == 'table' and answer.err
  if problem and (string.find(problem, 'NOPERM') or string.find(problem, "can't run this command") or string.find(problem, "can't access") or string.find(problem, "can't publish")) then return { name, problem } end
end
local i, found = 1, refused('TIME') or refused('PUBLISH', CHANNEL, '')
while not found and ARGV[i] do
  local amount = tonumber(ARGV[i + 1])
  found = refused(ARGV[i], SCRATCH, unpack(ARGV, i + 2, i + 1 + amount))
  i = i + 2 + amount
end
redis.pcall('DEL', SCRATCH)
return found`

/**
 * Checks that the user of a connection may do all that scripts do, and listen to the channel, so that nothing begins that cannot go on.
 *
 * @param prefix `AppKeys.events`
 * @throws FST_B24_STORE_UNAVAILABLE which names the command
 */
export async function checkCommands (client: Redis | Cluster, prefix: string, channel: string): Promise<void> {
  const values = Object.entries(IN_SCRIPTS).flatMap(([name, rest]) => [name, rest.length, ...rest])
  const refused = await named('EVAL', client.eval(CHECK, 1, prefix, ...values)) as [string, string] | null
  if (refused !== null) throw refusal(...refused)
  await named('MGET', client.mget(`${prefix}scratch`))
  await named('SUBSCRIBE', client.subscribe(channel))
  await named('UNSUBSCRIBE', client.unsubscribe(channel))
}

async function named<T> (command: string, answer: Promise<T>): Promise<T> {
  try {
    return await withinDeadline(answer)
  } catch (error) {
    const { message } = (error as Error).cause as Error
    throw message.startsWith('NOPERM') ? refusal(command, message) : error
  }
}

function refusal (command: string, message: string): Error {
  return FST_B24_STORE_UNAVAILABLE({ cause: new Error(`The user of Redis may not use ${command}: ${message}`) })
}
