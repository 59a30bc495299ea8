import { hash } from 'node:crypto'
import type { InstallStore } from '../storage/install-store.ts'
import {
  BUCKET_RATES, type BucketRates, ENTERPRISE_RATES, LONGEST_CLOSED_MS, type PortalBuckets, type PortalLimits, type Reservation
} from '../storage/limits.ts'
import { updateInstall } from '../storage/update-install.ts'
import { check, withDefaults, isNumberIn } from '../validation.ts'

export interface PortalLimitOptions {
  /**
   * Calls that a portal takes at once.
   * @default 250 on a plan of the Enterprise family, else 50
   */
  burst?: number | undefined
  /**
   * Calls a second that it takes after that.
   * @default 5 on a plan of the Enterprise family, else 2
   */
  drainPerSecond?: number | undefined
  /**
   * Longest that a call waits for its place, ms. One that would have to wait longer fails at once, with FST_B24_PORTAL_LIMIT.
   * @default 5000
   */
  waitMs?: number | undefined
}

/** `PortalLimitOptions`, checked and complete. */
export interface PortalLimitSettings {
  /** `undefined`: as the plan of the portal has it. */
  burst: number | undefined
  drainPerSecond: number | undefined
  waitMs: number
}

const DEFAULTS: PortalLimitSettings = { burst: undefined, drainPerSecond: undefined, waitMs: 5_000 }
const RANGES: ReadonlyArray<[name: keyof PortalLimitSettings, least: number, most: number]> = [
  ['burst', 1, 100_000],
  ['drainPerSecond', 0.1, 10_000],
  ['waitMs', 0, LONGEST_CLOSED_MS]
]

/**
 * Puts the defaults in.
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
  /** `appId()` of the app: a portal counts the time of a method for each app by itself. */
  app: string
  settings: Omit<PortalLimitSettings, 'waitMs'>
  now?: (() => number) | undefined
}

interface Plan {
  bucket: string
  rates: BucketRates
  readAt: number
}

/** How long a plan is taken as it was read, ms. */
const FRESH_MS = 600_000
const MOST_PLANS = 10_000

/**
 * Limits as the plan of each portal has them, in a bucket that all apps of a storage share: a portal counts the calls of one source
 * address, whatever app they are of.
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

  async reserve (memberId: string, method: string, mostMs: number): Promise<Reservation> {
    const { bucket, rates } = await this.#planOf(memberId)
    return await this.#parts.buckets.reserve(bucket, `${this.#parts.app} ${method}`, mostMs, rates)
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
   * Keeps the plan that a portal names in its `app.info`.
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
    if (known !== undefined && this.#now() - known.readAt < FRESH_MS) return known
    const { settings, store } = this.#parts
    const install = (await store.get(memberId))?.install
    const { burst, drainPerSecond } = install?.licenseFamily === 'ent' ? ENTERPRISE_RATES : BUCKET_RATES
    const rates = { burst: settings.burst ?? burst, drainPerSecond: settings.drainPerSecond ?? drainPerSecond }
    const plan = { bucket: bucketOf(install?.clientEndpoint ?? memberId), rates, readAt: this.#now() }
    const [oldest] = this.#plans.keys()
    if (this.#plans.size >= MOST_PLANS) this.#plans.delete(oldest as string)
    this.#plans.set(memberId, plan)
    return plan
  }
}

/** Name of a portal's bucket, by its REST base: what counts is who is called. */
export function bucketOf (clientEndpoint: string): string {
  return hash('sha256', clientEndpoint.toLowerCase()).slice(0, 16)
}

/** `ent` of `LICENSE_FAMILY: 'ent'`, and of `LICENSE: 'en_ent250'` where no family is named. */
function familyOf (appInfo: unknown): string | undefined {
  const { LICENSE_FAMILY: family, LICENSE: license } = (appInfo ?? {}) as Record<string, unknown>
  if (typeof family === 'string' && family !== '') return family.slice(0, 32).toLowerCase()
  return typeof license === 'string' ? /^[a-z]{2}_([a-z]{1,32})/i.exec(license)?.[1]?.toLowerCase() : undefined
}
