import { check, withDefaults, isIntegerIn } from '../validation.ts'

export interface DeliveryOptions {
  /**
   * `queue`: an event is stored before the response and handled after it. `inline`: it is handled before the response and never stored, for
   * hosts that stop the process after the response.
   * @default 'queue'
   */
  mode?: 'queue' | 'inline' | undefined
  /**
   * `false`: this process only receives and stores events; other processes handle them. Not allowed with `mode: 'inline'`.
   * @default true
   */
  worker?: boolean | undefined
  /**
   * Maximum number of events that this process handles concurrently.
   * @default 16
   */
  concurrency?: number | undefined
  /**
   * Maximum attempts before an event becomes a dead letter.
   * @default 10
   */
  attempts?: number | undefined
  /**
   * Delay before the second attempt, ms; doubled for each further one up to an hour, and shortened by a random part of up to a half.
   * @default 1000
   */
  backoffMs?: number | undefined
  /**
   * Time limit of a handler, ms. At the limit its signal aborts and it counts as failed.
   * @default 30000
   */
  handlerTimeoutMs?: number | undefined
  /**
   * How long closing waits for running handlers, ms. Then their signals abort and their events return to the queue. Raise Fastify's
   * `pluginTimeout` (10 s) with it: that ends the wait of `preClose`, after which other plugins are closed.
   * @default 8000
   */
  closeTimeoutMs?: number | undefined
  /**
   * A worker that misses heartbeats for this long (ms) is considered dead, and its events are reassigned.
   * @default 30000
   */
  stalledAfterMs?: number | undefined
  /**
   * Merges waiting events with the same name and item into one; `on(…, { coalesce: false })` disables it for the events of one handler.
   * @default true
   */
  coalesce?: boolean | undefined
  /**
   * Maximum bytes of waiting events of all portals, each counted with 512 bytes of overhead. One portal may use a quarter of what the others leave
   * free; beyond that, only its own events are answered with 503 `FST_B24_PORTAL_QUOTA`. See the hook `onQuota`.
   * @default half of the `maxmemory` of Redis if set, otherwise 1073741824 (1 GB)
   */
  maxWaitingBytes?: number | undefined
  /**
   * Number of Redis replicas that must acknowledge an event before it is answered with 200. With 0, a failover may lose events answered just
   * before it. Requires `redis`.
   * @default 0
   */
  waitReplicas?: number | undefined
  /**
   * Limits for dead letters, enforced when a new one is stored. Beyond `maxCount` or `maxBytes`, the oldest one of the portal with the most
   * bytes is evicted.
   */
  deadLetters?: {
    /**
     * How long a dead letter is kept, ms.
     * @default 2592000000 (30 days)
     */
    maxAgeMs?: number | undefined
    /** @default 10000 */
    maxCount?: number | undefined
    /** @default 268435456 (256 MB) */
    maxBytes?: number | undefined
  } | undefined
}

/** `DeliveryOptions`, validated and with defaults. */
export interface DeliverySettings {
  mode: 'queue' | 'inline'
  worker: boolean
  concurrency: number
  attempts: number
  backoffMs: number
  handlerTimeoutMs: number
  closeTimeoutMs: number
  stalledAfterMs: number
  coalesce: boolean
  maxWaitingBytes: number | undefined
  waitReplicas: number
  deadLetters: { maxAgeMs: number, maxCount: number, maxBytes: number }
}

/** Maximum delay of a timer, ms. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1
const DAY_MS = 24 * 60 * 60 * 1000

const DEFAULTS: DeliverySettings = {
  mode: 'queue',
  worker: true,
  concurrency: 16,
  attempts: 10,
  backoffMs: 1_000,
  handlerTimeoutMs: 30_000,
  closeTimeoutMs: 8_000,
  stalledAfterMs: 30_000,
  coalesce: true,
  maxWaitingBytes: undefined,
  waitReplicas: 0,
  deadLetters: { maxAgeMs: 30 * DAY_MS, maxCount: 10_000, maxBytes: 256 * 1024 * 1024 }
}

/**
 * Fills in the defaults.
 *
 * @throws FST_B24_INVALID_OPTIONS for an unknown option
 */
export function completeDelivery ({ deadLetters = {}, ...given }: DeliveryOptions): DeliverySettings {
  return {
    ...withDefaults('delivery', DEFAULTS, given),
    deadLetters: withDefaults('delivery.deadLetters', DEFAULTS.deadLetters, deadLetters)
  }
}

/** Allowed range of each number. */
export const NUMBERS: ReadonlyArray<[name: string, unit: string, min: number, max: number, of: (delivery: DeliverySettings) => number]> = [
  ['concurrency', 'events', 1, 10_000, ({ concurrency }) => concurrency],
  ['attempts', 'attempts', 1, 1_000, ({ attempts }) => attempts],
  ['backoffMs', 'ms', 1, 60 * 60 * 1000, ({ backoffMs }) => backoffMs],
  ['handlerTimeoutMs', 'ms', 1, MAX_TIMEOUT_MS, ({ handlerTimeoutMs }) => handlerTimeoutMs],
  ['closeTimeoutMs', 'ms', 0, MAX_TIMEOUT_MS, ({ closeTimeoutMs }) => closeTimeoutMs],
  ['stalledAfterMs', 'ms', 1_000, MAX_TIMEOUT_MS, ({ stalledAfterMs }) => stalledAfterMs],
  ['maxWaitingBytes', 'bytes', 1024 * 1024, Number.MAX_SAFE_INTEGER, ({ maxWaitingBytes = 1024 ** 3 }) => maxWaitingBytes],
  ['waitReplicas', 'replicas', 0, 100, ({ waitReplicas }) => waitReplicas],
  ['deadLetters.maxAgeMs', 'ms', 1_000, Number.MAX_SAFE_INTEGER, ({ deadLetters }) => deadLetters.maxAgeMs],
  ['deadLetters.maxCount', 'dead letters', 1, 10_000_000, ({ deadLetters }) => deadLetters.maxCount],
  ['deadLetters.maxBytes', 'bytes', 1024 * 1024, Number.MAX_SAFE_INTEGER, ({ deadLetters }) => deadLetters.maxBytes]
]

/** @throws FST_B24_INVALID_OPTIONS */
export function checkDelivery (delivery: DeliverySettings): void {
  check(delivery.mode === 'queue' || delivery.mode === 'inline', "delivery.mode must be 'queue' or 'inline'")
  check(typeof delivery.worker === 'boolean', 'delivery.worker must be true or false')
  check(delivery.mode === 'queue' || delivery.worker, "delivery.mode 'inline' has no worker: omit delivery.worker")
  check(typeof delivery.coalesce === 'boolean', 'delivery.coalesce must be true or false')
  for (const [name, unit, min, max, of] of NUMBERS) {
    check(isIntegerIn(of(delivery), min, max), `delivery.${name} must be a whole number of ${unit} from ${min} to ${max}`)
  }
}
