import type { B24OAuth } from '@bitrix24/b24jssdk'
import { FST_B24_SDK_MISSING } from '../../errors.ts'

/** The official SDK. */
export type Sdk = typeof import('@bitrix24/b24jssdk')

type Ajax = ReturnType<B24OAuth['getHttpClient']>['ajaxClient']

/** What axios, with which the SDK calls portals, gives to its adapter. */
export type AjaxConfig = Parameters<Extract<Ajax['defaults']['adapter'], (...args: never[]) => unknown>>[0]

/** As in peerDependencies. Others may send their requests in another way than past the guard of addresses. */
const RANGE = '~2.2.0'

/**
 * Loads the SDK, which takes a third of a second.
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

/** Nothing waits in the SDK and nothing is repeated there: both is done for all processes together. */
export const UNRESTRICTED: NonNullable<Restrictions> = {
  rateLimit: { burstLimit: 1e9, drainRate: 1e6, adaptiveEnabled: false },
  operatingLimit: { windowMs: 600_000, limitMs: Number.MAX_SAFE_INTEGER, heavyPercent: 100 },
  adaptiveConfig: { enabled: false, thresholdPercent: 100, coefficient: 0, maxDelay: 0 },
  maxRetries: 1,
  retryOnNetworkError: false
}

/** @ts-ignore Not there where the package is not installed: `any` then. */
type Installed = import('@bitrix24/b24jssdk').B24OAuth

/** Stands for the client where `@bitrix24/b24jssdk` is not installed. */
export interface OfficialClientMissing {
  /** `npm install @bitrix24/b24jssdk`, and this is its `B24OAuth`. */
  readonly isMissing: '@bitrix24/b24jssdk is not installed'
}

/** `B24OAuth` of `@bitrix24/b24jssdk`, an optional peer. */
export type OfficialClient = string extends keyof Installed ? OfficialClientMissing : Installed
