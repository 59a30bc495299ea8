import { hash } from 'node:crypto'
import { editInstall } from '../../storage/update-install.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import type { PortalLimitSettings } from './limit-options.ts'
import { BUCKET_RATES, type BucketRates, ENTERPRISE_RATES, type PortalBuckets, type PortalLimits, type Reservation } from '../../storage/limits.ts'

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
  async learn (memberId: string, appInfo: unknown): Promise<void> {
    const licenseFamily = familyOf(appInfo)
    if (licenseFamily === undefined) return
    await editInstall(this.#parts.store, memberId, install => install.licenseFamily === licenseFamily ? install : { ...install, licenseFamily })
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
