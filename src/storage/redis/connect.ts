import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { resolve } from 'node:path'
import { FST_B24_INVALID_OPTIONS } from '../../errors.ts'
import { loadPackage } from '../../load-package.ts'
import { bareError, storeUnavailable, withinDeadline } from '../unavailable.ts'
import { TickBatcher } from '../tick-batcher.ts'

/** Time that Redis has to answer for the first time, ms. */
const BOOT_DEADLINE_MS = 5_000

const FAIL_FAST: RedisOptions = {
  // A command waits for one reconnection, so that a short outage costs no event; then it fails, so that no queue grows.
  maxRetriesPerRequest: 1,
  retryStrategy: (attempt) => Math.min(50 * 2 ** (attempt - 1), 500) + Math.random() * 100,
  connectTimeout: 2_000,
  // A connection that died without a word would else be kept until TCP gives it up, after a quarter of an hour.
  socketTimeout: 5_000,
  // After a failover the old master may keep its connections and refuse writes.
  reconnectOnError: (error) => error.message.startsWith('READONLY')
}

/** Most keys that are read with one command. */
const MOST_KEYS = 16

/** What a connection of one's own relies on, whatever the options of the caller. */
const OWN = { lazyConnect: true, replyMapping: 'legacy', enableAutoPipelining: false, stringNumbers: false, enableOfflineQueue: true } as const

/**
 * What the plugin asks of a Redis client. `Redis` and `Cluster` of ioredis 5 and 6 both have it, so an app can pass
 * the client that it already owns.
 */
export interface RedisClient {
  mget (keys: string[]): Promise<Array<string | null>>
  eval (script: string, numberOfKeys: number, ...keysAndArguments: Array<string | number>): Promise<unknown>
  /** The queue has connections of its own, to where this one is connected. */
  duplicate (...args: never[]): unknown
}

/** What the stores use. Every command is answered in time or rejects with `FST_B24_STORE_UNAVAILABLE`. */
export interface BoundedClient extends Pick<RedisClient, 'eval'> {
  /** All keys that are asked for at once must be of one app: they travel in one command. */
  get (key: string): Promise<string | null>
}

/** A URL (`redis://`, `rediss://`), ioredis options, or a client that the caller owns and closes. */
export type RedisOption = string | RedisOptions | RedisClient

/**
 * Opens a connection of its own, to what the option names or to where a given client is connected, and waits until it is ready. It reconnects by
 * itself. Commands fail fast unless `options` say otherwise; `bounded` adds a time limit.
 *
 * @param log called with a connection error when it differs from the last one; it contains no credentials
 * @param deadlineMs maximum time until it is ready, ms; errors that cannot pass by waiting reject at once
 * @param onReady called each time that the connection is ready
 * @returns a `Cluster` for a `Cluster`, which has the same commands
 * @throws FST_B24_STORE_UNAVAILABLE with the last error as its cause
 * @throws FST_B24_INVALID_OPTIONS for a string that is no URL of Redis
 */
export async function openIoredis (option: RedisOption, options: RedisOptions, log: (error: Error) => void, deadlineMs = BOOT_DEADLINE_MS, onReady = () => {}): Promise<Redis> {
  const client = isClient(option) ? duplicate(option, options) : await createClient(option, options)
  await ready(client, log, deadlineMs, onReady)
  return client
}

// ioredis' classes have a type parameter: to compare two of them costs TypeScript seconds. Hence the casts.
function duplicate (client: RedisClient, options: RedisOptions): Redis {
  const own = { ...FAIL_FAST, ...options, ...OWN }
  if (!('nodes' in client)) return (client as unknown as { duplicate (options: RedisOptions): unknown }).duplicate(own) as Redis
  const cluster = client as unknown as Cluster
  const { redisOptions } = cluster.options
  return cluster.duplicate([], { ...OWN, ...('keyPrefix' in options && { keyPrefix: options.keyPrefix }), ...(options.autoResendUnfulfilledCommands === false && { retryDelayOnFailover: 0 }), scaleReads: 'master', redisOptions: { ...redisOptions, ...own } } as object) as unknown as Redis
}

const VERBS = ['mget', 'eval', 'duplicate'] as const satisfies Array<keyof RedisClient>

function isClient (option: RedisOption): option is RedisClient {
  return typeof option === 'object' && VERBS.some(verb => verb in option)
}

/** Verbs that an object lacks to be a client; none where it is no client at all but options. */
export function lackingVerbs (option: RedisOption): string[] {
  return isClient(option) ? VERBS.filter(verb => typeof option[verb] !== 'function') : []
}

async function createClient (option: string | RedisOptions, options: RedisOptions = {}): Promise<Redis> {
  const { Redis } = loadPackage<typeof import('ioredis')>('ioredis')
  if (typeof option !== 'string') {
    checkDb(option.db)
    return new Redis({ ...FAIL_FAST, ...option, ...options, ...OWN }) as unknown as Redis
  }
  // ioredis takes any other string for the path of a socket, and its errors would show it with the password.
  if (!/^rediss?:\/\//i.test(option) || !URL.canParse(option)) {
    throw new FST_B24_INVALID_OPTIONS('redis must be a URL that starts with redis:// or rediss://')
  }
  checkDb(/^\/(.+)$/.exec(new URL(option).pathname)?.[1])
  return new Redis(option, { ...FAIL_FAST, ...options, ...OWN }) as unknown as Redis
}

/** Of any other value ioredis makes a database of its own choice, or ends the process. */
function checkDb (db: unknown): void {
  if (db !== undefined && db !== null && !/^\d{1,9}$/.test(String(db))) {
    throw new FST_B24_INVALID_OPTIONS('redis must name its database by a number: redis://127.0.0.1:6379/1, or { db: 1 }')
  }
}

async function ready (client: Redis, log: (error: Error) => void, deadlineMs: number, onReady: () => void): Promise<void> {
  let last: Error | undefined
  // For a missing database, ioredis emits an error, then becomes ready with another database.
  const up = new Promise<void>((resolve, reject) => {
    client.on('error', (error: Error) => {
      const reason = explained(error)
      if (reason.message !== last?.message) log(bareError(reason))
      last = reason
      if (isFinal(error)) reject(reason)
    })
    client.on('ready', () => {
      last = undefined
      onReady()
      resolve()
    })
  })
  // It keeps trying after a first failure, which arrives as an 'error' event too.
  client.connect().catch(() => {})
  try {
    await withinDeadline(up, deadlineMs)
  } catch (error) {
    client.disconnect()
    throw last === undefined ? error : storeUnavailable(last)
  }
}

/** The client with a time limit for each command. */
export function bounded (client: Pick<RedisClient, 'mget' | 'eval'>): BoundedClient {
  const reads = new TickBatcher((keys: string[]) => withinDeadline(client.mget(keys)), MOST_KEYS, { eager: true })
  return {
    get: (key) => reads.add(key),
    eval: (script, numberOfKeys, ...rest) => withinDeadline(client.eval(script, numberOfKeys, ...rest))
  }
}

/** Closes a client of one's own. Never rejects. */
export async function quit (client: Redis): Promise<void> {
  // A server that is gone cannot say goodbye; closing must not fail for it.
  await withinDeadline(client.quit()).catch(() => {})
  end(client)
}

/** Ends a client of one's own at once, and all that waits for it. */
export function end (client: Redis): void {
  // While it waits to connect again, ioredis would forget about its end, and about the commands that it holds.
  if (client.status === 'reconnecting') client.connect().catch(() => {})
  client.disconnect()
}

/** What Redis, or whatever listens in its place, answers as long as the options are what they are. */
const FINAL_MESSAGE = /^(WRONGPASS|NOAUTH|NOPERM|ERR (DB index|value is not an integer|AUTH |invalid password|Client sent AUTH)|Unknown RESP type|Protocol error)/
const FINAL_CODE = /^(EPROTO|ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|ERR_SOCKET_BAD_PORT|EACCES|ENOTSOCK)/

/** Returns whether another attempt at the start meets the same error again. */
function isFinal ({ message, code }: NodeJS.ErrnoException): boolean {
  return FINAL_MESSAGE.test(message) || (typeof code === 'string' && FINAL_CODE.test(code))
}

/** Returns the error with a message for users, where that of ioredis is for its own authors. */
function explained (error: Error): Error {
  if (error.message.startsWith('NOAUTH')) return new Error('NOAUTH Redis requires a password')
  if (!/^(Unknown RESP type|Protocol error)/.test(error.message)) return error
  return new Error('What listens there does not speak the protocol of Redis: it is another service, or a Redis with TLS (rediss://)')
}

/** The option that names the storage and where that is, for a message: no user, no password. */
export function storageOf ({ redis, dataDir }: { redis?: string | object | undefined, dataDir: string }): string {
  if (redis === undefined) return `dataDir ${resolve(dataDir)}`
  return typeof redis === 'string' ? `redis ${addressOfUrl(redis)}` : `redis ${addressOfClient(redis)}`
}

function addressOfUrl (url: string): string {
  // A string that is no URL may be a password alone.
  if (!URL.canParse(url)) return ''
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname.length > 1 ? pathname : ''}`
}

/** Of a client, or of the options for one. */
function addressOfClient (client: object): string {
  if ('nodes' in client) return 'Cluster'
  const { host = 'localhost', port = 6379, path, db = 0, sentinels } = ('options' in client ? client.options : client) as RedisOptions
  if (sentinels != null) return 'through Sentinel'
  return path ?? `${host}:${port}${db === 0 ? '' : `/${db}`}`
}
