import { hash } from 'node:crypto'
import {
  BUCKET_RATES, type BucketRates, ENTERPRISE_RATES, MAX_CLOSED_MS, type PortalBuckets, type PortalLimits, type Reservation
} from '../storage/call-rate-limits.ts'
import { type InstallStore, updateInstall } from '../storage/install-store.ts'
import { check, withDefaults, isNumberIn } from '../validation.ts'

export interface PortalLimitOptions {
  /**
   * Bucket size: calls a portal accepts in a burst.
   * @default 250 on a plan of the Enterprise family, else 50
   */
  burst?: number | undefined
  /**
   * Calls per second after a burst.
   * @default 5 on a plan of the Enterprise family, else 2
   */
  drainPerSecond?: number | undefined
  /**
   * How long a call may wait for its slot, in milliseconds. A call that would wait longer fails at once with FST_B24_PORTAL_LIMIT.
   * @default 5000
   */
  waitMs?: number | undefined
}

/** `PortalLimitOptions`, validated and with defaults. */
export interface PortalLimitSettings {
  /** `undefined`: the value of the portal's plan. */
  burst: number | undefined
  drainPerSecond: number | undefined
  waitMs: number
}

const DEFAULTS: PortalLimitSettings = { burst: undefined, drainPerSecond: undefined, waitMs: 5_000 }
const RANGES: ReadonlyArray<[name: keyof PortalLimitSettings, least: number, most: number]> = [
  ['burst', 1, 100_000],
  ['drainPerSecond', 0.1, 10_000],
  ['waitMs', 0, MAX_CLOSED_MS]
]

/**
 * Validates the options and fills in the defaults.
 * @throws FST_B24_INVALID_OPTIONS
 */
export function completePortalLimits (options: PortalLimitOptions): PortalLimitSettings {
  const settings = withDefaults('portalLimits', DEFAULTS, options)
  for (const [name, least, most] of RANGES) check(settings[name] === undefined || isNumberIn(settings[name], least, most), `portalLimits.${name} must be a number from ${least} to ${most}`)
  return settings
}

export interface PlanLimitsParts {
  buckets: PortalBuckets
  store: Pick<InstallStore, 'get' | 'swap'>
  /** `appId()` of the app: portals count the operating time of a method per app. */
  app: string
  settings: Omit<PortalLimitSettings, 'waitMs'>
  now?: (() => number) | undefined
}

interface Plan {
  bucket: string
  rates: BucketRates
  readAt: number
}

/** How long a plan is cached, in milliseconds. */
const CACHE_TTL_MS = 600_000
const MAX_PLANS = 10_000

/**
 * Rate limits by the plan of each portal. All apps on a storage share one bucket per portal: portals count calls by source address,
 * whatever the app.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/limits.md
 */
export class PlanLimits implements PortalLimits {
  readonly #parts: PlanLimitsParts
  readonly #now: () => number
  readonly #plans = new Map<string, Plan>()

  constructor (parts: PlanLimitsParts) {
    this.#parts = parts
    this.#now = parts.now ?? Date.now
  }

  async reserve (memberId: string, method: string, maxWaitMs: number): Promise<Reservation> {
    const { bucket, rates } = await this.#planOf(memberId)
    return await this.#parts.buckets.reserve(bucket, `${this.#parts.app} ${method}`, maxWaitMs, rates)
  }

  async fill (memberId: string): Promise<void> {
    const { bucket, rates } = await this.#planOf(memberId)
    await this.#parts.buckets.fill(bucket, rates)
  }

  async close (memberId: string, method: string, forMs: number): Promise<void> {
    const { bucket, rates } = await this.#planOf(memberId)
    await this.#parts.buckets.close(bucket, `${this.#parts.app} ${method}`, forMs, rates)
  }

  /**
   * Stores the plan named in the portal's `app.info`.
   * @throws FST_B24_STORE_UNAVAILABLE
   */
  async updatePlan (memberId: string, appInfo: unknown): Promise<void> {
    const licenseFamily = familyOf(appInfo)
    if (licenseFamily === undefined) return
    await updateInstall(this.#parts.store, memberId, install => install.licenseFamily === licenseFamily ? install : { ...install, licenseFamily })
    this.#plans.delete(memberId)
  }

  async #planOf (memberId: string): Promise<Plan> {
    const known = this.#plans.get(memberId)
    if (known !== undefined && this.#now() - known.readAt < CACHE_TTL_MS) return known
    const { settings, store } = this.#parts
    const install = (await store.get(memberId))?.install
    const { burst, drainPerSecond } = install?.licenseFamily === 'ent' ? ENTERPRISE_RATES : BUCKET_RATES
    const rates = { burst: settings.burst ?? burst, drainPerSecond: settings.drainPerSecond ?? drainPerSecond }
    const plan = { bucket: bucketOf(install?.clientEndpoint ?? memberId), rates, readAt: this.#now() }
    const [oldest] = this.#plans.keys()
    if (this.#plans.size >= MAX_PLANS) this.#plans.delete(oldest as string)
    this.#plans.set(memberId, plan)
    return plan
  }
}

/** Returns the bucket name of a portal, derived from its REST base. */
export function bucketOf (clientEndpoint: string): string {
  return hash('sha256', clientEndpoint.toLowerCase()).slice(0, 16)
}

/** Returns `ent` for `LICENSE_FAMILY: 'ent'`, or for `LICENSE: 'en_ent250'` without a family. */
function familyOf (appInfo: unknown): string | undefined {
  const { LICENSE_FAMILY: family, LICENSE: license } = (appInfo ?? {}) as Record<string, unknown>
  if (typeof family === 'string' && family !== '') return family.slice(0, 32).toLowerCase()
  return typeof license === 'string' ? /^[a-z]{2}_([a-z]{1,32})/i.exec(license)?.[1]?.toLowerCase() : undefined
}
