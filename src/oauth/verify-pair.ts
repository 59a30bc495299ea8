import type { AppCredentials } from './app-credentials.ts'
import { type AppInfo, chooseServer, fetchAppInfo, type RefreshedPair, refreshGrant, type TokenPair } from './oauth-server.ts'
import { type OAuthRequestOptions, unavailable } from './request.ts'
import { type OAuthErrorResponse, parseUserId } from './response.ts'

/** What a request claims about its sender. Only what the OAuth server confirms is used. */
export interface UnverifiedPair {
  memberId: string
  accessToken: string
  refreshToken: string
  /** `auth.server_endpoint`; the first allowed server is asked when it is absent. */
  serverEndpoint?: unknown
  /** `auth.user_id`, compared when present. */
  userId?: unknown
}

export interface VerifyOptions extends OAuthRequestOptions {
  /** Aborts the verification, and prevents a refresh that has not started. */
  signal?: AbortSignal | undefined
  /** Aborts a refresh under way. Fires later than `signal`: only the response has the new pair. */
  refreshSignal?: AbortSignal | undefined
  /** `false`: rejects an expired pair instead of refreshing it. @default true */
  mayRefresh?: boolean | undefined
  /** Awaited before a refresh: from then on the claimed pair may be invalid, whatever the response. */
  beforeRefresh?: (() => Promise<void>) | undefined
  /** Awaited with the new pair before anything else can fail. */
  afterRefresh?: ((pair: TokenPair) => Promise<void>) | undefined
  /** Origins that may be contacted. */
  allowedServers: readonly string[]
  clientId: string
  clientSecret: string
  keys: Pick<AppCredentials, 'accept' | 'reject' | 'isAboutPortal'>
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** Facts confirmed by the OAuth server; the address is the server's, never the request's. */
export interface Grant {
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  /** Origin of the OAuth server that answered. */
  oauthServer: string
  scope: string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  status?: string
  version?: string
  userId?: number
  /** `false` until an app with an install page called `installFinish`; absent when the pair was verified by a refresh. */
  installed?: boolean
  /** The pair to store: the claimed one, or its successor when it was refreshed; the claimed one is invalid then. */
  pair: TokenPair
  /** The pair comes from a refresh, so its refresh token is valid. Otherwise only the access token is verified. */
  isRefreshed: boolean
}

export type PairRejectReason =
  | 'server_not_allowed'
  | 'token_refused'
  | 'not_installed'
  | 'payment_required'
  | 'other_app'
  | 'other_portal'
  | 'other_user'

export interface RejectedPair {
  status: 'rejected'
  reason: PairRejectReason
}

export type Verification = { status: 'verified', grant: Grant } | RejectedPair

/**
 * Verifies with an allowed OAuth server that a token pair belongs to this app on the claimed portal.
 *
 * Proves that a user of that portal has a token for the app; not that the user is an admin, nor anything about the `application_token` beside
 * it. Proves the refresh token only if it had to be used.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server cannot answer; FST_B24_APP_KEYS when it rejects the app's credentials
 */
export async function verifyPair (claim: UnverifiedPair, options: VerifyOptions): Promise<Verification> {
  const origin = chooseServer(options.allowedServers, claim.serverEndpoint)
  if (origin === undefined) return rejected('server_not_allowed')
  const info = await fetchAppInfo(origin, claim.accessToken, options)
  if (info.status === 'refused') {
    return info.errorClass === 'expired' && options.mayRefresh !== false ? await verifyByRefresh(origin, claim, options) : rejected(reasonOf(info))
  }
  if (info.clientId !== options.clientId) return rejected('other_app')
  return mismatchOf(claim, info) ?? { status: 'verified', grant: grantOf(origin, claim, info, options) }
}

/** For events that arrive hours late. A refresh with the app's secret is equivalent: it accepts tokens of this app only. */
async function verifyByRefresh (origin: string, claim: UnverifiedPair, options: VerifyOptions): Promise<Verification> {
  const fresh = await refreshPair(origin, claim, options)
  if (fresh.status === 'rejected') return fresh
  const { memberId, clientEndpoint, domain } = fresh
  if (memberId !== undefined && clientEndpoint !== undefined && domain !== undefined) {
    const { status: _, memberId: __, appStatus, ...facts } = fresh
    const grant: Grant = { ...facts, domain, clientEndpoint, oauthServer: origin, isRefreshed: true, ...(appStatus !== undefined && { status: appStatus }) }
    return mismatchOf(claim, { ...fresh, memberId }) ?? { status: 'verified', grant }
  }
  // The response was incomplete: look up the missing facts with the new token.
  const { accessToken, refreshToken } = fresh.pair
  const info = await fetchAppInfo(origin, accessToken, options)
  if (info.status === 'refused') return rejected(reasonOf(info))
  return mismatchOf(claim, info) ?? { status: 'verified', grant: { ...grantOf(origin, { ...claim, accessToken, refreshToken }, info, options), isRefreshed: true } }
}

/**
 * Refreshes the claimed pair, which verifies its refresh token. The claimed pair is invalid afterwards.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS
 */
export async function refreshPair (origin: string, claim: UnverifiedPair, options: VerifyOptions): Promise<RefreshedPair | RejectedPair> {
  const { clientId, clientSecret, timeoutMs, signal, refreshSignal, beforeRefresh, afterRefresh, keys, now, dispatcher } = options
  if (signal?.aborted === true) throw unavailable('aborted')
  await beforeRefresh?.()
  const fresh = await refreshGrant({ origin, clientId, clientSecret, refreshToken: claim.refreshToken, timeoutMs, signal: refreshSignal, now, dispatcher })
  if (fresh.status === 'ok') {
    keys.accept(origin)
    await afterRefresh?.(fresh.pair)
    return fresh
  }
  if (fresh.errorClass !== 'config') return rejected(reasonOf(fresh))
  // The portal is only claimed, so no rejection is recorded for it.
  return await keys.isAboutPortal(origin, fresh.error) ? rejected('not_installed') : keys.reject(undefined, fresh.error)
}

function mismatchOf (claim: UnverifiedPair, facts: { memberId: string, userId?: number }): RejectedPair | undefined {
  if (facts.memberId !== claim.memberId) return rejected('other_portal')
  if (claim.userId === undefined || facts.userId === undefined) return undefined
  return parseUserId(claim.userId) === facts.userId ? undefined : rejected('other_user')
}

function grantOf (origin: string, claim: UnverifiedPair, info: AppInfo, { now = Date.now }: VerifyOptions): Grant {
  const { status: _, clientId: __, memberId: ___, appStatus, expiresAt = now(), ...facts } = info
  const { accessToken, refreshToken } = claim
  return {
    ...facts,
    oauthServer: origin,
    ...(appStatus !== undefined && { status: appStatus }),
    pair: { accessToken, refreshToken, expiresAt },
    isRefreshed: false
  }
}

function reasonOf ({ errorClass }: OAuthErrorResponse): PairRejectReason {
  if (errorClass === 'uninstalled') return 'not_installed'
  return errorClass === 'payment_required' ? errorClass : 'token_refused'
}

function rejected (reason: PairRejectReason): RejectedPair {
  return { status: 'rejected', reason }
}
