import { resolve } from 'node:path'
import type { RedisOptions } from 'ioredis'

/** What Redis, or whatever listens in its place, answers as long as the options are what they are. */
const FINAL_MESSAGE = /^(WRONGPASS|NOAUTH|NOPERM|ERR (DB index|value is not an integer|AUTH |invalid password|Client sent AUTH)|Unknown RESP type|Protocol error)/
const FINAL_CODE = /^(EPROTO|ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|ERR_SOCKET_BAD_PORT|EACCES|ENOTSOCK)/

/** Returns whether another attempt at the start meets the same error again. */
export function isFinal ({ message, code }: NodeJS.ErrnoException): boolean {
  return FINAL_MESSAGE.test(message) || (typeof code === 'string' && FINAL_CODE.test(code))
}

/** The error with a message for whoever wrote the options, where ioredis has one for its own authors. */
export function explained (error: Error): Error {
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
