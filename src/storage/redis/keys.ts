import { hash } from 'node:crypto'

/** Names of the Redis keys of one app. All carry one hash tag, so that a Cluster keeps them in one slot. */
export interface AppKeys {
  /** Record of one portal. */
  install (memberId: string): string
  /** Sorted set of every `memberId`, for walks. */
  installs: string
  /** Whose turn it is in the queue. */
  turn: string
  /** Hash: turns of portals whose events had to wait. */
  late: string
  /** Hash: who handles an item, whether others wait for it, and how many repeats a job took in. */
  items: string
  /** Hash of the installs that are being verified. */
  pendingInstalls: string
  /** Who holds a lock. */
  lock (name: string): string
}

/** Short digest of a `client_id` (16 hex characters): safe in a key and as the name of a folder on any file system. */
export function appId (clientId: string): string {
  return hash('sha256', clientId).slice(0, 16)
}

/** Builds the keys of an app; but for those who wait for an item, which a script keeps beside `items`. `app` is an `appId()`. */
export function appKeys (app: string): AppKeys {
  const tag = `b24:{${app}}`
  return {
    install: (memberId) => `${tag}:install:${memberId}`,
    installs: `${tag}:installs`,
    turn: `${tag}:turn`,
    late: `${tag}:late`,
    items: `${tag}:items`,
    pendingInstalls: `${tag}:pending-installs`,
    lock: (name) => `${tag}:lock:${name}`
  }
}

/** Hash: what a portal still takes, of all apps on this Redis together. */
export function bucketKey (bucket: string): string {
  return `b24:{limits:${bucket}}`
}

/** Name and prefix of the BullMQ queue of an app. `app` is an `appId()`. */
export function queueOfApp (app: string): { name: string, prefix: string } {
  return { name: 'events', prefix: `b24:{${app}}` }
}

/** Name and prefix of the BullMQ queue of a `client_id`, for Bull Board and tools of one's own. Only look: what others put into it becomes a dead letter. */
export function bullQueueOf (clientId: string): { name: string, prefix: string } {
  return queueOfApp(appId(clientId))
}
