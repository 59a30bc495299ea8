import { endpointOf, lifetimeMsOf, nonsense, readRefusal, scopeOf, textOf, userIdOf } from './answer.ts'
import type { OAuthRefusal } from './error-class.ts'
import { type OAuthRequestOptions, postForm } from './request.ts'
import type { TokenPair } from './token-pair.ts'

export interface RefreshRequest extends OAuthRequestOptions {
  /** Origin of the OAuth server that made the pair. */
  origin: string
  clientId: string
  clientSecret: string
  refreshToken: string
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** A new pair and what the OAuth server says beside it. */
export interface RefreshedPair {
  status: 'ok'
  pair: TokenPair
  /** Portal that the pair is for, where the answer names it. */
  memberId?: string
  /** Host of the portal, out of `clientEndpoint`: the `domain` of this answer is the OAuth server's own. */
  domain?: string
  /** REST base of the portal, ends with `/rest/`; absent where the answer has none that can be used. */
  clientEndpoint?: string
  scope: string[]
  appStatus?: string
  userId?: number
}

/**
 * Trades a refresh token for a new pair. The old pair is dead afterwards: keep the new one before anything else.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server gives no usable answer; whether the old pair still lives is then unknown
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/auto-renewal.md
 */
export async function refreshGrant (request: RefreshRequest): Promise<RefreshedPair | OAuthRefusal> {
  const { origin, clientId, clientSecret, refreshToken, now = Date.now } = request
  const answer = await postForm(`${origin}/oauth/token/`, {
    grant_type: 'refresh_token',
    client_id: clientId,
    client_secret: clientSecret,
    refresh_token: refreshToken
  }, request)
  const pair = readPair(answer.body, now())
  if (pair !== undefined) return pair
  const refusal = readRefusal(answer)
  if (refusal !== undefined) return refusal
  throw nonsense(answer, 'pair')
}

/** A good pair counts, however odd the rest is: the one before it is dead. */
function readPair (body: Record<string, unknown>, now: number): RefreshedPair | undefined {
  const accessToken = textOf(body['access_token'])
  const refreshToken = textOf(body['refresh_token'])
  if (accessToken === undefined || refreshToken === undefined) return undefined
  return {
    status: 'ok',
    pair: { accessToken, refreshToken, expiresAt: now + lifetimeMsOf(body['expires_in']) },
    scope: scopeOf(body['scope']),
    ...readDetails(body)
  }
}

function readDetails (body: Record<string, unknown>): Partial<RefreshedPair> {
  const memberId = textOf(body['member_id'])
  const endpoint = endpointOf(body['client_endpoint'])
  const appStatus = textOf(body['status'])
  const userId = userIdOf(body['user_id'])
  return {
    ...(memberId !== undefined && { memberId }),
    ...(endpoint !== undefined && { domain: endpoint.host, clientEndpoint: endpoint.href }),
    ...(appStatus !== undefined && { appStatus }),
    ...(userId !== undefined && { userId })
  }
}
