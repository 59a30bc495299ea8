import { type AppInfo, askAppInfo } from './app-info.ts'
import { userIdOf } from './answer.ts'
import type { OAuthRefusal } from './error-class.ts'
import { type OAuthLimits, unavailable } from './request.ts'
import { chooseServer } from './servers.ts'
import { refreshGrant } from './token-endpoint.ts'
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

export interface VerifyOptions extends OAuthLimits {
  /** Gives up, and begins no refresh, when it aborts. */
  signal?: AbortSignal | undefined
  /** Gives up a refresh that is under way: its answer is the only one that has the new pair, so it ends later than all else. */
  refreshSignal?: AbortSignal | undefined
  /** Awaited before a refresh is asked for: from then on the posted pair may be dead, whatever answer comes. */
  beforeRefresh?: (() => Promise<void>) | undefined
  /** Origins that may be asked. */
  allowedServers: readonly string[]
  clientId: string
  clientSecret: string
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
  /** The pair to keep: the posted one, or a newer one when that had to be refreshed, and then the posted one is dead. */
  pair: TokenPair
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

export type Verification =
  | { status: 'verified', grant: Grant }
  | { status: 'rejected', reason: PairRejectReason }

/**
 * Proves that a token pair is of this app on the portal that a post claims, by asking an allowed OAuth server.
 *
 * It proves that a user of that portal has a token for the app; not that the user is an admin, nor anything about the
 * `application_token` beside it. The refresh token is proven only where it had to be used.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when it cannot be known now
 */
export async function verifyPair (claim: PairClaim, options: VerifyOptions): Promise<Verification> {
  const origin = chooseServer(options.allowedServers, claim.serverEndpoint)
  if (origin === undefined) return rejected('server_not_allowed')
  const info = await askAppInfo(origin, claim.accessToken, options)
  if (info.status === 'refused') {
    return info.errorClass === 'expired' ? await verifyByRefresh(origin, claim, options) : rejected(reasonOf(info))
  }
  if (info.clientId !== options.clientId) return rejected('other_app')
  return check(claim, info) ?? { status: 'verified', grant: grantOf(origin, claim, info, options) }
}

/** An event may be hours late. A refresh with the app's own secret proves as much: only a token of this app passes. */
async function verifyByRefresh (origin: string, claim: PairClaim, options: VerifyOptions): Promise<Verification> {
  const { clientId, clientSecret, timeoutMs, signal, refreshSignal, beforeRefresh, now } = options
  if (signal?.aborted === true) throw unavailable('aborted')
  await beforeRefresh?.()
  const fresh = await refreshGrant({ origin, clientId, clientSecret, refreshToken: claim.refreshToken, timeoutMs, signal: refreshSignal, now, dispatcher: options.dispatcher })
  if (fresh.status === 'refused') {
    // Our keys are wrong, which says nothing about the portal's.
    if (fresh.errorClass === 'config') throw unavailable(fresh.error)
    return rejected(reasonOf(fresh))
  }
  const { status: _, memberId: __, appStatus, ...facts } = fresh
  const grant: Grant = { ...facts, oauthServer: origin, ...(appStatus !== undefined && { status: appStatus }) }
  return check(claim, fresh) ?? { status: 'verified', grant }
}

function check (claim: PairClaim, facts: { memberId: string, userId?: number }): Verification | undefined {
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
    pair: { accessToken, refreshToken, expiresAt }
  }
}

function reasonOf ({ errorClass }: OAuthRefusal): PairRejectReason {
  if (errorClass === 'uninstalled') return 'not_installed'
  return errorClass === 'payment_required' ? errorClass : 'token_refused'
}

function rejected (reason: PairRejectReason): Verification {
  return { status: 'rejected', reason }
}
