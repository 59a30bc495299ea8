import { check, complete, isNumberIn } from '../../validation.ts'
import { LONGEST_CLOSED_MS } from '../../storage/limits.ts'

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
  const settings = complete('portalLimits', DEFAULTS, options)
  for (const [name, least, most] of RANGES) check(settings[name] === undefined || isNumberIn(settings[name], least, most), `portalLimits.${name} must be a number from ${least} to ${most}`)
  return settings
}
