import { check, withDefaults, isIntegerIn } from '../validation.ts'

export interface DeliveryOptions {
  /**
   * `queue`: an event is stored before the answer, and handled after it. `inline`: it is handled before the answer and
   * stored nowhere, for hosts where nothing goes on after the answer.
   * @default 'queue'
   */
  mode?: 'queue' | 'inline' | undefined
  /**
   * `false`: this process only receives; others handle what it stores. Not where `mode` is `inline`.
   * @default true
   */
  worker?: boolean | undefined
  /**
   * Most events that this process handles at once.
   * @default 16
   */
  concurrency?: number | undefined
  /**
   * Attempts before an event becomes a dead letter.
   * @default 10
   */
  attempts?: number | undefined
  /**
   * Wait before the second attempt in ms; doubled for each further one, up to an hour, and up to half of it shorter at random.
   * @default 1000
   */
  backoffMs?: number | undefined
  /**
   * Longest run of one handler in ms; then its signal aborts and it counts as failed.
   * @default 30000
   */
  handlerTimeoutMs?: number | undefined
  /**
   * Time that running handlers have at close, ms; then their signals abort, and their events are given back. Where it comes near
   * Fastify's `pluginTimeout` (10 s), raise that too: it ends the wait of `preClose`, and other plugins are closed then.
   * @default 8000
   */
  closeTimeoutMs?: number | undefined
  /**
   * A worker that gave no sign for so long, ms, is taken for dead, and its events are given to others.
   * @default 30000
   */
  stalledAfterMs?: number | undefined
  /**
   * Makes one event of waiting repeats about one item; `on(…, { coalesce: false })` turns it off for the events of one handler.
   * @default true
   */
  coalesce?: boolean | undefined
  /**
   * Bytes that waiting events of all portals may take, each with 512 bytes beside its body. One portal may fill a quarter of what the others leave; beyond
   * that its events alone are answered 503, `FST_B24_PORTAL_QUOTA`. See the hook `onQuota`.
   * @default half of the `maxmemory` of Redis where one is set, else 1073741824 (1 GB)
   */
  maxWaitingBytes?: number | undefined
  /**
   * Replicas of Redis that must have an event before it is answered 200; without, a failover may lose what was answered just before it. Needs `redis`.
   * @default 0
   */
  waitReplicas?: number | undefined
  /**
   * How long and how many dead letters are kept, looked at when another one comes. Beyond `maxCount` and `maxBytes` the oldest of the portal goes that has
   * the most bytes of them.
   */
  deadLetters?: {
    /**
     * ms
     * @default 2592000000, 30 days
     */
    maxAgeMs?: number | undefined
    /** @default 10000 */
    maxCount?: number | undefined
    /** @default 268435456, 256 MB */
    maxBytes?: number | undefined
  } | undefined
}

/** `DeliveryOptions`, checked and complete. */
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

/** Longest time of a timer, ms. */
export const LONGEST_TIMEOUT_MS = 2 ** 31 - 1
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
 * Puts the defaults in.
 *
 * @throws FST_B24_INVALID_OPTIONS for an unknown option
 */
export function completeDelivery ({ deadLetters = {}, ...given }: DeliveryOptions): DeliverySettings {
  return {
    ...withDefaults('delivery', DEFAULTS, given),
    deadLetters: withDefaults('delivery.deadLetters', DEFAULTS.deadLetters, deadLetters)
  }
}

/** Least and most of each number. */
export const NUMBERS: ReadonlyArray<[name: string, unit: string, least: number, most: number, of: (delivery: DeliverySettings) => number]> = [
  ['concurrency', 'events', 1, 10_000, ({ concurrency }) => concurrency],
  ['attempts', 'attempts', 1, 1_000, ({ attempts }) => attempts],
  ['backoffMs', 'ms', 1, 60 * 60 * 1000, ({ backoffMs }) => backoffMs],
  ['handlerTimeoutMs', 'ms', 1, LONGEST_TIMEOUT_MS, ({ handlerTimeoutMs }) => handlerTimeoutMs],
  ['closeTimeoutMs', 'ms', 0, LONGEST_TIMEOUT_MS, ({ closeTimeoutMs }) => closeTimeoutMs],
  ['stalledAfterMs', 'ms', 1_000, LONGEST_TIMEOUT_MS, ({ stalledAfterMs }) => stalledAfterMs],
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
  check(delivery.mode === 'queue' || delivery.worker, "delivery.mode 'inline' has no worker to be turned off: leave delivery.worker out")
  check(typeof delivery.coalesce === 'boolean', 'delivery.coalesce must be true or false')
  for (const [name, unit, least, most, of] of NUMBERS) {
    check(isIntegerIn(of(delivery), least, most), `delivery.${name} must be a whole number of ${unit} from ${least} to ${most}`)
  }
}
