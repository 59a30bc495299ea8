import { endpointOf, nonsense, readRefusal, scopeOf, textOf, userIdOf } from './answer.ts'
import type { OAuthRefusal } from './error-class.ts'
import { type OAuthAnswer, type OAuthLimits, postForm } from './request.ts'
import type { TokenPair } from './token-pair.ts'

export interface RefreshRequest extends OAuthLimits {
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
  memberId: string
  /** Host of the portal, out of `clientEndpoint`: the `domain` of this answer is the OAuth server's own. */
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
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
  return readRefusal(answer) ?? readPair(answer, now())
}

function readPair (answer: OAuthAnswer, now: number): RefreshedPair {
  const { body } = answer
  const accessToken = textOf(body['access_token'])
  const refreshToken = textOf(body['refresh_token'])
  const memberId = textOf(body['member_id'])
  const endpoint = endpointOf(body['client_endpoint'])
  const userId = userIdOf(body['user_id'])
  if (accessToken === undefined || refreshToken === undefined) throw nonsense(answer, 'pair')
  if (memberId === undefined) throw nonsense(answer, 'member_id')
  if (endpoint === undefined) throw nonsense(answer, 'client_endpoint')
  return {
    status: 'ok',
    pair: { accessToken, refreshToken, expiresAt: now + lifetimeMs(body['expires_in']) },
    memberId,
    domain: endpoint.host,
    clientEndpoint: endpoint.href,
    scope: scopeOf(body['scope']),
    ...(typeof body['status'] === 'string' && { appStatus: body['status'] }),
    ...(userId !== undefined && { userId })
  }
}

/** By our clock: `expires` is by the server's, which may be off. */
function lifetimeMs (expiresIn: unknown): number {
  return typeof expiresIn === 'number' ? expiresIn * 1000 : 3_600_000
}
