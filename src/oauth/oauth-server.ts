import { isObject } from '../validation.ts'
import { type OAuthRequestOptions, type OAuthResponse, postForm } from './request.ts'
import { lifetimeMsOf, type OAuthErrorResponse, parseEndpoint, parseError, parseScope, parseText, parseUserId, unexpectedResponse } from './response.ts'

/**
 * Origins of Bitrix24's own OAuth servers: first the Russian-speaking regions, then all others.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/index.md
 */
export const GENUINE_OAUTH_SERVERS: readonly string[] = ['https://oauth.bitrix24.tech', 'https://oauth.bitrix.info']

/** OAuth tokens of one portal user. Secret: stored encrypted, never logged. */
export interface TokenPair {
  accessToken: string
  refreshToken: string
  /** Expiry of the access token, ms since the epoch. */
  expiresAt: number
}

export interface RefreshRequest extends OAuthRequestOptions {
  /** Origin of the OAuth server that issued the pair. */
  origin: string
  clientId: string
  clientSecret: string
  refreshToken: string
  /** @default Date.now */
  now?: (() => number) | undefined
}

/** A new pair and the facts in the same response. */
export interface RefreshedPair {
  status: 'ok'
  pair: TokenPair
  /** Portal of the pair, if the response names it. */
  memberId?: string
  /** Host of `clientEndpoint`: the `domain` in the response is the OAuth server's own. */
  domain?: string
  /** REST base of the portal, ends with `/rest/`; absent when the response has no usable one. */
  clientEndpoint?: string
  scope: string[]
  appStatus?: string
  userId?: number
}

/** Facts the OAuth server states about an access token and its portal. */
export interface AppInfo {
  status: 'ok'
  /** App the token was issued to. */
  clientId: string
  memberId: string
  domain: string
  /** REST base of the portal, ends with `/rest/`. */
  clientEndpoint: string
  scope: string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  appStatus?: string
  version?: string
  /** User the token acts for. */
  userId?: number
  /** `false` until an app with an install page called `installFinish`. */
  installed?: boolean
  /** Expiry of the access token, ms since the epoch. */
  expiresAt?: number
}

/**
 * Picks the allowed origin that a body's `server_endpoint` names, such as `https://oauth.bitrix.info/rest/`. Compares the raw text: a URL
 * parser would accept userinfo, backslashes, other case and look-alike letters.
 *
 * @returns the first origin when the body names none (older portals); `undefined` for any other server, which must never be contacted
 */
export function chooseServer (allowed: readonly string[], serverEndpoint: unknown): string | undefined {
  if (serverEndpoint === undefined || serverEndpoint === '') return allowed[0]
  if (typeof serverEndpoint !== 'string') return undefined
  return allowed.find(origin => serverEndpoint === origin || serverEndpoint.startsWith(`${origin}/`))
}

/**
 * Exchanges a refresh token for a new pair. The old pair is invalid afterwards: store the new one before anything else.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server gives no usable response; the old pair may or may not be valid then
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/auto-renewal.md
 */
export async function refreshGrant (request: RefreshRequest): Promise<RefreshedPair | OAuthErrorResponse> {
  const { origin, clientId, clientSecret, refreshToken, now = Date.now } = request
  const response = await postForm(`${origin}/oauth/token/`, {
    grant_type: 'refresh_token',
    client_id: clientId,
    client_secret: clientSecret,
    refresh_token: refreshToken
  }, request)
  const pair = parsePair(response.body, now())
  if (pair !== undefined) return pair
  const error = parseError(response)
  if (error !== undefined) return error
  throw unexpectedResponse(response, 'pair')
}

/**
 * Calls `app.info` of an OAuth server, which names the app and the portal of an access token. Not the portal's method of that name.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the server fails, or its response does not identify the portal
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/simple-way.md
 */
export async function fetchAppInfo (origin: string, accessToken: string, options?: OAuthRequestOptions): Promise<AppInfo | OAuthErrorResponse> {
  const response = await postForm(`${origin}/rest/app.info/`, { auth: accessToken }, options)
  const error = parseError(response)
  if (error === undefined) return parseAppInfo(response)
  // The request names no client, so this error is about the token.
  return error.error === 'invalid_client' ? { ...error, errorClass: 'revoked' } : error
}

/** Accepts any response with both tokens, even if the rest is malformed: the previous pair is invalid by now. */
function parsePair (body: Record<string, unknown>, now: number): RefreshedPair | undefined {
  const accessToken = parseText(body['access_token'])
  const refreshToken = parseText(body['refresh_token'])
  if (accessToken === undefined || refreshToken === undefined) return undefined
  const memberId = parseText(body['member_id'])
  const endpoint = parseEndpoint(body['client_endpoint'])
  const appStatus = parseText(body['status'])
  const userId = parseUserId(body['user_id'])
  return {
    status: 'ok',
    pair: { accessToken, refreshToken, expiresAt: now + lifetimeMsOf(body['expires_in']) },
    scope: parseScope(body['scope']),
    ...(memberId !== undefined && { memberId }),
    ...(endpoint !== undefined && { domain: endpoint.host, clientEndpoint: endpoint.href }),
    ...(appStatus !== undefined && { appStatus }),
    ...(userId !== undefined && { userId })
  }
}

function parseAppInfo (response: OAuthResponse): AppInfo {
  const { result } = response.body
  if (!isObject(result) || !isObject(result['install'])) throw unexpectedResponse(response, 'result')
  const { install } = result
  const clientId = parseText(result['client_id'])
  const memberId = parseText(install['member_id'])
  const endpoint = parseEndpoint(install['client_endpoint'])
  if (clientId === undefined) throw unexpectedResponse(response, 'client_id')
  if (memberId === undefined) throw unexpectedResponse(response, 'member_id')
  if (endpoint === undefined) throw unexpectedResponse(response, 'client_endpoint')
  return {
    status: 'ok',
    clientId,
    memberId,
    domain: parseText(install['domain']) ?? endpoint.host,
    clientEndpoint: endpoint.href,
    scope: parseScope(result['scope']),
    ...parseDetails(result, install)
  }
}

function parseDetails (result: Record<string, unknown>, install: Record<string, unknown>): Partial<AppInfo> {
  const { status, version, installed } = install
  const userId = parseUserId(result['user_id'])
  const expiresAt = Date.parse(parseText(result['expires']) ?? '')
  return {
    ...(typeof status === 'string' && { appStatus: status }),
    ...((typeof version === 'string' || typeof version === 'number') && { version: String(version) }),
    ...(userId !== undefined && { userId }),
    ...(typeof installed === 'boolean' && { installed }),
    ...(!Number.isNaN(expiresAt) && { expiresAt })
  }
}
