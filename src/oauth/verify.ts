import { type AppInfo, askAppInfo } from './app-info.ts'
import { userIdOf } from './answer.ts'
import type { AppKeys } from './app-keys.ts'
import type { OAuthRefusal } from './error-class.ts'
import { type OAuthRequestOptions, unavailable } from './request.ts'
import { chooseServer } from './servers.ts'
import { refreshGrant, type RefreshedPair } from './token-endpoint.ts'
import type { TokenPair } from './token-pair.ts'

/** What a post claims. Nothing of it is believed but what the OAuth server confirms. */
export interface PairClaim {
  memberId: string
  accessToken: string
  refreshToken: string
  /** `auth.server_endpoint`; the first allowed server is asked when the post has none. */
  serverEndpoint?: unknown
  /** `auth.user_id`, compared when the post has it. */
  userId?: unknown
}

export interface VerifyOptions extends OAuthRequestOptions {
  /** Gives up, and begins no refresh, when it aborts. */
  signal?: AbortSignal | undefined
  /** Gives up a refresh that is under way: its answer is the only one that has the new pair, so it ends later than all else. */
  refreshSignal?: AbortSignal | undefined
  /** `false`: a pair whose hour is over is refused, and not traded. @default true */
  mayRefresh?: boolean | undefined
  /** Awaited before a refresh is asked for: from then on the posted pair may be dead, whatever answer comes. */
  beforeRefresh?: (() => Promise<void>) | undefined
  /** Awaited with the new pair, before anything else can fail. */
  afterRefresh?: ((pair: TokenPair) => Promise<void>) | undefined
  /** Origins that may be asked. */
  allowedServers: readonly string[]
  clientId: string
  clientSecret: string
  /** Learns whether the keys are accepted, and tells what a refusal is about. */
  keys: Pick<AppKeys, 'accept' | 'refuse' | 'isAboutPortal'>
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** What the OAuth server vouches for. The address is its own word, never the post's. */
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
  /** `false` until an app with an install page called `installFinish`; absent when only a refresh could prove the pair. */
  installed?: boolean
  /** The pair to keep: the posted one, or a newer one when that was traded, and then the posted one is dead. */
  pair: TokenPair
  /** The pair came by a refresh, so its refresh token is good. Else only the access token is verified. */
  isTraded: boolean
}

/** Why a pair proves nothing. */
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
 * Proves that a token pair is of this app on the portal that a post claims, by asking an allowed OAuth server.
 *
 * It proves that a user of that portal has a token for the app; not that the user is an admin, nor anything about the
 * `application_token` beside it. The refresh token is proven only where it had to be used.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when it cannot be known now; FST_B24_APP_KEYS when the server refuses the app itself
 */
export async function verifyPair (claim: PairClaim, options: VerifyOptions): Promise<Verification> {
  const origin = chooseServer(options.allowedServers, claim.serverEndpoint)
  if (origin === undefined) return rejected('server_not_allowed')
  const info = await askAppInfo(origin, claim.accessToken, options)
  if (info.status === 'refused') {
    return info.errorClass === 'expired' && options.mayRefresh !== false ? await verifyByRefresh(origin, claim, options) : rejected(reasonOf(info))
  }
  if (info.clientId !== options.clientId) return rejected('other_app')
  return check(claim, info) ?? { status: 'verified', grant: grantOf(origin, claim, info, options) }
}

/** An event may be hours late. A refresh with the app's own secret proves as much: only a token of this app passes. */
async function verifyByRefresh (origin: string, claim: PairClaim, options: VerifyOptions): Promise<Verification> {
  const fresh = await tradePair(origin, claim, options)
  if (fresh.status === 'rejected') return fresh
  const { memberId, clientEndpoint, domain } = fresh
  if (memberId !== undefined && clientEndpoint !== undefined && domain !== undefined) {
    const { status: _, memberId: __, appStatus, ...facts } = fresh
    const grant: Grant = { ...facts, domain, clientEndpoint, oauthServer: origin, isTraded: true, ...(appStatus !== undefined && { status: appStatus }) }
    return check(claim, { ...fresh, memberId }) ?? { status: 'verified', grant }
  }
  // An odd answer: the new token tells the rest.
  const { accessToken, refreshToken } = fresh.pair
  const info = await askAppInfo(origin, accessToken, options)
  if (info.status === 'refused') return rejected(reasonOf(info))
  return check(claim, info) ?? { status: 'verified', grant: { ...grantOf(origin, { ...claim, accessToken, refreshToken }, info, options), isTraded: true } }
}

/**
 * Trades the pair of a claim for a new one, which proves its refresh token. The posted pair is dead afterwards.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS
 */
export async function tradePair (origin: string, claim: PairClaim, options: VerifyOptions): Promise<RefreshedPair | RejectedPair> {
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
  // Wrong keys say nothing about the portal's. Which portal it is, is only claimed: nothing may be remembered of that one.
  return await keys.isAboutPortal(origin, fresh.error) ? rejected('not_installed') : keys.refuse(undefined, fresh.error)
}

function check (claim: PairClaim, facts: { memberId: string, userId?: number }): RejectedPair | undefined {
  if (facts.memberId !== claim.memberId) return rejected('other_portal')
  if (claim.userId === undefined || facts.userId === undefined) return undefined
  return userIdOf(claim.userId) === facts.userId ? undefined : rejected('other_user')
}

function grantOf (origin: string, claim: PairClaim, info: AppInfo, { now = Date.now }: VerifyOptions): Grant {
  const { status: _, clientId: __, memberId: ___, appStatus, expiresAt = now(), ...facts } = info
  const { accessToken, refreshToken } = claim
  return {
    ...facts,
    oauthServer: origin,
    ...(appStatus !== undefined && { status: appStatus }),
    pair: { accessToken, refreshToken, expiresAt },
    isTraded: false
  }
}

function reasonOf ({ errorClass }: OAuthRefusal): PairRejectReason {
  if (errorClass === 'uninstalled') return 'not_installed'
  return errorClass === 'payment_required' ? errorClass : 'token_refused'
}

function rejected (reason: PairRejectReason): RejectedPair {
  return { status: 'rejected', reason }
}
