import { hash } from 'node:crypto'

/** Names of the Redis keys of one app. All carry one hash tag, so that a Cluster keeps them in one slot. */
export interface AppKeys {
  /** Record of one portal. */
  install (memberId: string): string
  /** Sorted set of every `memberId`, for walks. */
  installs: string
  /** Hash of the installs that are being verified. */
  pendingInstalls: string
  /** Owner of a lock. */
  lock (name: string): string
  /** Version of all that stands here. */
  layout: string
  /** Prefix of the keys of events (see `EVENT_KEYS`), and of their channel. */
  events: string
}

/** Short digest of a `client_id` (16 hex characters): safe in a key and as the name of a folder on any file system. */
export function appId (clientId: string): string {
  return hash('sha256', clientId).slice(0, 16)
}

/** Builds the keys of an app. `app` is an `appId()`. */
export function appKeys (app: string): AppKeys {
  const tag = `b24:{${app}}`
  return {
    install: (memberId) => `${tag}:install:${memberId}`,
    installs: `${tag}:installs`,
    pendingInstalls: `${tag}:pending-installs`,
    lock: (name) => `${tag}:lock:${name}`,
    layout: `${tag}:layout`,
    events: `${tag}:queue:`
  }
}

/**
 * Lua for the keys of events: all are built here, from the prefix that is a script's only key.
 *
 * | key | holds |
 * |---|---|
 * | event:SEQ | hash of one event: id, group, lane ('0' priority, '1' others), code, key, dedup, size, body, attempts, crashes, coalesced, retry ('1': delayed because it failed), progress; of a dead letter also error, failedAt, place |
 * | waiting:LANE:GROUP, blocked:KEY, deferred:CODE | sorted sets of events in order of arrival |
 * | ring:NAME | sorted set of groups that wait, by turn: priority, unverified (priority ones that nothing verifies); responsive, untested, hung |
 * | delayed | sorted set of events by time |
 * | deferred | set of codes of which there are deferred events |
 * | dedup, busy | hash of what is pending by `dedup`; of what has a key, or goes next with it |
 * | active:WORKER, listens:WORKER | sets of events that a worker runs, and of codes; no codes: it listens to everything |
 * | workers | sorted set of workers by the end of their lease |
 * | clock | hash: `now`, the latest time that scripts have used; `ahead`, what they add to the time of the server |
 * | known | sorted set of groups by when they responded last; below 0: when they hung |
 * | bytes, totals | hashes of pending bytes by group; of events, pending bytes (verified, unverified) and bytes of dead letters |
 * | dead, dead:GROUP, dead-bytes | sorted sets of dead letters by place; of groups by bytes |
 * | dead-ids | hash of dead letters by id |
 * | seq, turn, deaths | counters |
 */
export const EVENT_KEYS = `
local p = KEYS[1]
local SEQ, TURN, DEATHS, TOTALS, BYTES, DEDUP, BUSY = p .. 'seq', p .. 'turn', p .. 'deaths', p .. 'totals', p .. 'bytes', p .. 'dedup', p .. 'busy'
local DELAYED, DEFERRED, DEAD, DEAD_IDS, DEAD_BYTES = p .. 'delayed', p .. 'deferred', p .. 'dead', p .. 'dead-ids', p .. 'dead-bytes'
local WORKERS, CLOCK, KNOWN, SCRATCH, CHANNEL = p .. 'workers', p .. 'clock', p .. 'known', p .. 'scratch', p .. 'waiting'
local function eventKey (seq) return p .. 'event:' .. seq end
local function waitingKey (lane, group) return p .. 'waiting:' .. lane .. ':' .. group end
local function ringKey (name) return p .. 'ring:' .. name end
local function blockedKey (key) return p .. 'blocked:' .. key end
local function deferredKey (code) return p .. 'deferred:' .. code end
local function activeKey (worker) return p .. 'active:' .. worker end
local function listensKey (worker) return p .. 'listens:' .. worker end
local function deadKey (group) return p .. 'dead:' .. group end`

/** Name of the channel for waiting events, without the key prefix of the client. `app` is an `appId()`. */
export function waitingChannel (app: string): string {
  return `${appKeys(app).events}waiting`
}

/** Hash: what a portal still takes, of all apps on this Redis together. */
export function bucketKey (bucket: string): string {
  return `b24:{limits:${bucket}}`
}
