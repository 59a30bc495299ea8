import type { B24OAuth } from '@bitrix24/b24jssdk'
import { FST_B24_SDK_MISSING } from '../../errors.ts'

/** The official SDK. */
export type Sdk = typeof import('@bitrix24/b24jssdk')

type Ajax = ReturnType<B24OAuth['getHttpClient']>['ajaxClient']

/** Config that axios, the SDK's HTTP client, passes to its adapter. */
export type AjaxConfig = Parameters<Extract<Ajax['defaults']['adapter'], (...args: never[]) => unknown>>[0]

/** Same as in peerDependencies. Other versions may send requests that bypass the address guard. */
const RANGE = '~2.2.0'

/**
 * Loads the SDK on first use: importing takes about 300 ms.
 *
 * @throws FST_B24_SDK_MISSING
 */
export async function loadSdk (load: () => Promise<Sdk> = async () => await import('@bitrix24/b24jssdk')): Promise<Sdk> {
  try {
    const sdk = await load()
    if (typeof sdk.B24OAuth === 'function' && typeof sdk.AjaxError === 'function') return sdk
  } catch (error) {
    throw new FST_B24_SDK_MISSING(RANGE, { cause: error })
  }
  throw new FST_B24_SDK_MISSING(RANGE)
}

type Restrictions = NonNullable<ConstructorParameters<Sdk['B24OAuth']>[2]>['restrictionParams']

/** Disables rate limiting and retries of the SDK: the plugin does both, across processes. */
export const UNRESTRICTED: NonNullable<Restrictions> = {
  rateLimit: { burstLimit: 1e9, drainRate: 1e6, adaptiveEnabled: false },
  operatingLimit: { windowMs: 600_000, limitMs: Number.MAX_SAFE_INTEGER, heavyPercent: 100 },
  adaptiveConfig: { enabled: false, thresholdPercent: 100, coefficient: 0, maxDelay: 0 },
  maxRetries: 1,
  retryOnNetworkError: false
}
